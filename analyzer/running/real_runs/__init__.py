"""Running a model with real tensors, on this machine."""
