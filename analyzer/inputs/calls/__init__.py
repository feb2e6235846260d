"""What a person calls of a model, and what its source says of that."""
