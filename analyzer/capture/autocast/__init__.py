"""Autocast as it acts on the device that is meant, wherever the capture runs."""
