"""The calls that a person wrote: named, and repaired where torch refuses one before any kernel runs."""
