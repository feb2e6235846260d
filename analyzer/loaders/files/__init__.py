"""Reads the files of a model folder that hold data alone: JSON, and the headers of checkpoints."""
