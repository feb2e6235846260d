"""Mirrors analyzer/picture."""
