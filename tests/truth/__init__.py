"""The verdicts against what PyTorch really does, at length; `python -m tests.truth` runs all of it."""
