"""The one process that holds torch and a stranger's bytes, and how the front speaks with it."""
