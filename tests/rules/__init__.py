"""Mirrors analyzer/rules."""
