"""Measures the tool against what PyTorch really does, at full length; `python -m tests.truth` runs all of it."""
