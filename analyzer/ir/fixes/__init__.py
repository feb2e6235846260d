"""Fixes as values: what a proposal changes, what becomes of the values, and what a real run says of it."""
