"""Mirrors analyzer/ir."""
