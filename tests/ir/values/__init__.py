"""Tests of what the code says of the numbers in a tensor."""
