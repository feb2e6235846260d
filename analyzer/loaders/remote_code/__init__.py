"""A model folder's own Python code: how it is imported, and what it finds around it."""
