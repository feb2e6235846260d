"""The laws of mutation: what may be done to a value, a text, a file's bytes and a folder."""
