"""Mirrors analyzer/inputs."""
