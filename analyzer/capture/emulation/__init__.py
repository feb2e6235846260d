"""What answers in the place of a device or a mode that a capture cannot have."""
