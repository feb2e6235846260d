"""Tests of the loaders, against the real from_pretrained where that can be."""
