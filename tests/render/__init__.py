"""Renderers and their goldens."""
