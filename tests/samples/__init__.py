"""The samples, against real loads and runs."""
