"""Mirrors analyzer/running."""
