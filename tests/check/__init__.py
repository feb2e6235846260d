"""Reviews: keys, baseline, suppressions, the check."""
