"""The worlds of transformers: what building and loading does differently in 4 and 5, and what old code finds."""
