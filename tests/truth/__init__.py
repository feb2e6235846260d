"""Traces of small transformers models against what really happens, under many precision set-ups."""
