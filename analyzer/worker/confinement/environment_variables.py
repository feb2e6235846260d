"""The environment of a worker: nothing secret, no network, every cache in the scratch folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from analyzer.worker.confinement.interpreter_files import absolute_entries

# What is not listed is left out: tokens, proxies with passwords, sockets of agents, LD_PRELOAD.
_KEPT: Final = frozenset(
    {
        "PATH", "HOME", "LANG", "LANGUAGE", "TZ", "VIRTUAL_ENV", "CONDA_PREFIX",
        "COLUMNS", "TERM", "NO_COLOR", "FORCE_COLOR",
        "PYTHONHASHSEED", "PYTHONUTF8", "PYTHONIOENCODING", "PYTHONWARNINGS", "PYTHONNOUSERSITE", "PYTHONUSERBASE",
        "TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY", "TOKENIZERS_PARALLELISM",
        "CUDA_VISIBLE_DEVICES", "CUDA_HOME", "ROCM_HOME",
        "SYSTEMROOT", "WINDIR", "USERPROFILE", "APPDATA", "LOCALAPPDATA",
    }
)  # fmt: skip
_KEPT_PREFIXES: Final = ("LC_", "OMP_", "MKL_", "OPENBLAS_", "KMP_", "GOMP_")
_LISTS_OF_FOLDERS: Final = ("PYTHONPATH", "LD_LIBRARY_PATH")
_SET: Final = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    # From Python 3.11, `-m` and `-c` do not import from the current folder, which may be the model's.
    "PYTHONSAFEPATH": "1",
    # The list of users is not readable in there; `getpass.getuser` asks these first.
    "LOGNAME": "worker",
    "USER": "worker",
}
_SCRATCH: Final = ("TMPDIR", "TEMP", "TMP")
_CACHES: Final = {
    "XDG_CACHE_HOME": "cache",
    "XDG_CONFIG_HOME": "config",
    "XDG_DATA_HOME": "data",
    "HF_HOME": "huggingface",
    "TORCH_HOME": "torch",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TORCH_EXTENSIONS_DIR": "extensions",
    "TRITON_CACHE_DIR": "triton",
    "TRITON_HOME": "triton-home",
    "CUDA_CACHE_PATH": "cuda",
    "NUMBA_CACHE_DIR": "numba",
    "MPLCONFIGDIR": "matplotlib",
}


def scrubbed(environ: Mapping[str, str], scratch: str) -> dict[str, str]:
    """Return the environment for a worker whose scratch folder is the absolute path `scratch`.

    >>> sorted(set(scrubbed({"HF_TOKEN": "hf_x", "LC_ALL": "C"}, "/s")) & {"HF_TOKEN", "LC_ALL", "HF_HOME"})
    ['HF_HOME', 'LC_ALL']
    """
    kept = {name: value for name, value in environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    for name in _LISTS_OF_FOLDERS:
        folders = absolute_entries(environ.get(name, ""))
        if folders:
            kept[name] = os.pathsep.join(folders)
    caches = {name: str(Path(scratch, folder)) for name, folder in _CACHES.items()}
    return {"HOME": scratch, **kept, **_SET, **dict.fromkeys(_SCRATCH, scratch), **caches}
