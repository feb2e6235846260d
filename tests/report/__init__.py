"""Mirrors analyzer/report."""
