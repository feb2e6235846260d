"""Mirrors analyzer/diff."""
