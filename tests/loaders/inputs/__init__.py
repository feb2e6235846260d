"""Mirrors analyzer/loaders/inputs."""
