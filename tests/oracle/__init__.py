"""What other devices answer, and what reads it."""
