"""Lets code under `torch.inference_mode` be captured: there it turns gradients off, and marks no tensor."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from analyzer.capture.patching import patched


def unmarked() -> AbstractContextManager[object]:
    """While this lasts, inference mode is what `no_grad` is.

    A tensor that is marked as made for inference takes no view of one that is not, as values from buffers are.
    """
    return patched(
        torch._C, "_InferenceMode", lambda mode: torch.set_grad_enabled(not mode),
        why="Tensors made in inference mode take no views of those that are not, and a trace mixes both.",
    )  # fmt: skip
