"""Feeds damaged and hostile inputs to the command, each in a limited child, and judges from outside what came of it."""
