"""Mirrors analyzer/training."""
