"""What frameworks that train do to a model that they loaded: casts, k-bit preparation, which layers are adapted."""
