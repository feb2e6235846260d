"""Public remote codes, each traced with the one command that a person would type, and checked by real runs."""
