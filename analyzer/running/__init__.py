"""What drives a model in a capture: one forward, a session of several, a training step."""
