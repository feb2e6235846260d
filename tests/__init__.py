"""Tests, mirroring the package."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # a real load that a trace is compared with fetches nothing either
