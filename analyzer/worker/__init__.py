"""The process that holds torch and a stranger's bytes, and what confines it."""
