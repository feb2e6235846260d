"""The model folders that these tests share with those of the loaders."""

from tests.model_folders import llama, own

__all__ = ["llama", "own"]
