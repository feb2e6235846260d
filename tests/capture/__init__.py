"""Captures against real runs."""
