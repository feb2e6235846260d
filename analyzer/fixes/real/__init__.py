"""The second half of a proof: the model, shrunk if it is large, is really run before and after a change."""
