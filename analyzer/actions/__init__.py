"""What a worker is asked to do: trace a model, try fixes, look for edits of its source."""
