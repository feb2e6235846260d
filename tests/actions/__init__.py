"""Mirrors analyzer/actions."""
