"""Mirrors analyzer/worker."""
