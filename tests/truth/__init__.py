"""Measures the tool against what PyTorch really does, at full length; each file runs with `python -m`."""
