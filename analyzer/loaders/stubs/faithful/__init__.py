"""Packages without kernels of their own that remote code leans on, by what they document."""
