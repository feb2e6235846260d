"""What to do about packages that are missing: their names for pip, and the options that a person may give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch

from analyzer.plans.stub_names import AUTO

_PIP_NAMES: Final = {
    "attr": "attrs", "bs4": "beautifulsoup4", "causal_conv1d": "causal-conv1d", "cpm_kernels": "cpm-kernels",
    "Crypto": "pycryptodome", "cv2": "opencv-python", "dateutil": "python-dateutil", "docx": "python-docx",
    "dotenv": "python-dotenv", "einops_exts": "einops-exts", "faiss": "faiss-cpu", "fitz": "pymupdf",
    "fla": "flash-linear-attention", "flash_attn": "flash-attn", "git": "gitpython", "google": "protobuf",
    "hydra": "hydra-core", "Levenshtein": "levenshtein", "mamba_ssm": "mamba-ssm", "open_clip": "open-clip-torch",
    "PIL": "pillow", "pytorch_lightning": "pytorch-lightning", "rotary_embedding_torch": "rotary-embedding-torch",
    "segment_anything": "segment-anything", "skimage": "scikit-image", "sklearn": "scikit-learn",
    "transformers_stream_generator": "transformers-stream-generator", "vector_quantize_pytorch":
    "vector-quantize-pytorch", "whisper": "openai-whisper", "yaml": "pyyaml",
}  # fmt: skip
"""Packages that pip knows by another name than Python does."""
_NOT_ON_PYPI: Final = frozenset({
    "aoss_client", "apex", "clip", "detectron2", "flash_attn_interface", "petrel_client", "triton_pre_mlir",
})  # fmt: skip
"""Packages that PyPI does not have, or has another one of that name."""
_WITHOUT_WHEELS: Final = frozenset({"causal_conv1d", "flash_attn", "mamba_ssm", "transformers_stream_generator"})
"""Packages that PyPI has as source alone, which `--with` does not build."""
_OF_TORCH: Final = frozenset({"torchaudio", "torchvision"})
"""Packages that are built for one torch: those on PyPI for the one on PyPI."""


def pip_name(top: str) -> str:
    """What pip calls the package that Python imports as `top`.

    >>> pip_name("cv2"), pip_name("timm")
    ('opencv-python', 'timm')
    """
    return _PIP_NAMES.get(top, top)


def ways_out(tops: Sequence[str], *, stub: bool = True, named: bool = False) -> str:
    """The ways to do without, or with, packages that are missing; `stub` says whether stand-ins are still one.

    With `named` the stand-ins are asked for by name, as for packages that code can do without.

    >>> ways_out(["einops", "PIL"])
    'pip install einops pillow, or trace with them: --with einops --with pillow, or without them: --stub auto'
    >>> ways_out(["mamba_ssm"])
    'pip install mamba-ssm, or trace without it: --stub auto'
    """
    bound = _OF_TORCH if _is_special() else frozenset()
    names = [pip_name(top) for top in tops if top not in bound | _NOT_ON_PYPI]
    left = [top for top in tops if top in bound | _NOT_ON_PYPI]
    them = "them" if len(tops) > 1 else "it"
    where = "from elsewhere: not on PyPI" if set(left) - bound else f"as built for torch {torch.__version__}"
    if not left:
        flags = " ".join(f"--with {one}" for one in names)
        ways = [f"pip install {' '.join(names)}"]
        if _WITHOUT_WHEELS.isdisjoint(tops):
            ways.append(f"trace with {them}: {flags}")
    elif names:
        ways = [f"pip install {' '.join(names)} and get {', '.join(left)} {where}"]
    else:
        ways = [f"get {', '.join(left)} {where}"]
    if stub:
        ways.append(f"{'' if len(ways) > 1 else 'trace '}without {them}: --stub {','.join(tops) if named else AUTO}")
    return ", or ".join(ways)


def _is_special() -> bool:
    """Whether the installed torch is none of those that packages on PyPI are built for."""
    return "+" in torch.__version__
