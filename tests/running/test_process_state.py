"""A trace leaves the process as it found it: what a model's constructor sets for everybody is over with it."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import analyzer
from analyzer.errors import AnalyzerError
from analyzer.running.process_state import left_as_found, settings
from tests.loaders.remote import Code

MESS = """
import logging, os, random, sys, tempfile, warnings
import numpy as np
import transformers
torch.set_default_dtype(torch.bfloat16)
torch.set_grad_enabled(False)
torch.set_autocast_enabled("cpu", True)
torch.set_autocast_dtype("cpu", torch.float16)
torch.use_deterministic_algorithms(True)
torch.set_float32_matmul_precision("medium")
torch.manual_seed(7), random.seed(7), np.random.seed(7)
os.environ["ODD"] = "1"
os.environ.pop("MASTER_ADDR", None)
os.chdir(tempfile.gettempdir())
sys.path.insert(0, "/odd")
sys.path[:] = list(reversed(sys.path))
sys.setrecursionlimit(4321)
warnings.simplefilter("error")
transformers.logging.set_verbosity_debug()
logging.getLogger("diffusers").setLevel(5)
"""
DEVICE = "torch.set_default_device('cpu')"


def state() -> dict[str, Any]:
    modes = torch._C._len_torch_function_stack(), torch._C._len_torch_dispatch_stack()
    return {
        "dtype": torch.get_default_dtype(), "device": torch.get_default_device(), "gradients": torch.is_grad_enabled(),
        "autocast": [(torch.is_autocast_enabled(d), torch.get_autocast_dtype(d)) for d in ("cpu", "cuda")],
        "deterministic": torch.are_deterministic_algorithms_enabled(), "modes": modes,
        "precision": torch.get_float32_matmul_precision(), "random": random.getstate(),
        "torch": torch.get_rng_state().tolist(), "numpy": np.random.get_state()[1].tolist(),
        "environ": dict(os.environ), "folder": Path.cwd(), "path": list(sys.path), "depth": sys.getrecursionlimit(),
        "warnings": list(warnings.filters), "verbosity": transformers.logging.get_verbosity(),
        "diffusers": logging.getLogger("diffusers").level, "bytecode": sys.dont_write_bytecode,
    }  # fmt: skip


def changed(do: Callable[[], Any]) -> list[str]:
    logging.getLogger("diffusers")  # a logger that is made meanwhile is nobody's before
    before = state()
    do()
    after = state()
    return [name for name in before if before[name] != after[name]]


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("online")
def test_a_trace_that_ends_well(tmp_path: Path) -> None:
    root = Code(init=MESS).write(tmp_path)
    assert changed(lambda: analyzer.trace(root, trust_remote_code=True)) == []


@pytest.mark.usefixtures("online")
def test_a_model_that_raises_while_it_is_built(tmp_path: Path) -> None:
    root = Code(init=f"{MESS}\nraise ValueError('no')").write(tmp_path)

    def fails() -> None:
        with pytest.raises(AnalyzerError, match="ValueError: no"):
            analyzer.trace(root, trust_remote_code=True)

    assert changed(fails) == []


@pytest.mark.usefixtures("online")
def test_a_model_that_raises_while_it_runs(tmp_path: Path) -> None:
    root = Code(forward=f"{MESS}\nraise ValueError('no')").write(tmp_path)
    assert changed(lambda: analyzer.trace(root, trust_remote_code=True)) == []


def test_a_function_and_a_module() -> None:
    def messy(x: torch.Tensor) -> torch.Tensor:
        exec(MESS, {"torch": torch})
        return x + 1

    assert changed(lambda: analyzer.trace(messy, (torch.ones(2),))) == []


def test_a_default_device_and_modes_that_are_left_on() -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    def leave() -> None:
        with left_as_found():
            torch.set_default_device("meta")
            TorchDispatchMode().__enter__()  # type: ignore[no-untyped-call]

    assert changed(leave) == []


@pytest.mark.parametrize("first", ["", "import transformers.utils.hub, huggingface_hub.constants\n"])
@pytest.mark.parametrize("wanted", ["", "1"])
def test_the_process_is_online_afterwards_if_it_was(first: str, wanted: str, tmp_path: Path) -> None:
    asks = "import huggingface_hub.constants as c\nassert c.HF_HUB_OFFLINE and os.environ['TRANSFORMERS_OFFLINE']"
    root = Code(init=f"import os\n{asks}").write(tmp_path)
    code = f"""{first}
import os, sys, analyzer
analyzer.trace({str(root)!r}, trust_remote_code=True)
import huggingface_hub.constants as c
print(os.environ.get("HF_HUB_OFFLINE", ""), os.environ.get("TRANSFORMERS_OFFLINE"), c.HF_HUB_OFFLINE)
"""
    clean = {name: value for name, value in os.environ.items() if "OFFLINE" not in name}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**clean, **({"HF_HUB_OFFLINE": wanted} if wanted else {})},
    )  # fmt: skip
    assert run.stdout.split() == [*([wanted] if wanted else []), "None", str(bool(wanted))]


SETTINGS: dict[str, str] = {
    "default dtype": "torch.set_default_dtype(torch.float16)",
    "gradients": "torch.set_grad_enabled(True)",
    "autocast": "torch.set_autocast_enabled('cpu', True)",
    "autocast's cache": "torch.set_autocast_cache_enabled(False)",
    "float32 matmul precision": "torch.set_float32_matmul_precision('medium')",
    "fp16 reduced precision reduction": "torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False",
}


@pytest.mark.parametrize("name", SETTINGS)
def test_what_the_run_leaves_changed_is_told(name: str) -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        exec(SETTINGS[name])
        return x + 1

    def undone(x: torch.Tensor) -> torch.Tensor:
        with left_as_found():
            return forward(x)

    before = settings()
    (found,) = analyzer.trace(forward, (torch.ones(2),)).findings
    assert (found.code, found.severity) == ("DT605", "warning") and f" {name} " in found.message
    assert not analyzer.trace(undone, (torch.ones(2),)).findings
    assert settings() == before
    with left_as_found():  # what it says is so
        with torch.no_grad():
            forward(torch.ones(2))
            after = settings()
        assert after[name] != before[name] or name == "gradients"
    assert settings() == before


def test_the_line_that_left_another_default_dtype_is_told() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        torch.set_default_dtype(torch.float64)
        torch.set_default_dtype(torch.float16)
        return x + torch.ones(2)

    (found,) = [f for f in analyzer.trace(forward, (torch.ones(2),)).findings if f.code == "DT605"]
    lines = Path(__file__).read_text().splitlines()
    assert lines[found.line - 1].strip() == "torch.set_default_dtype(torch.float16)"
    assert "f16" in found.message and "f32" in found.message


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("torch.set_default_dtype(torch.bfloat16)", [("DT605", "warning")]),
        ("torch.set_float32_matmul_precision('high')", [("DT605", "note")]),
        ("torch.manual_seed(0)", []),
    ],
)
def test_what_building_leaves_changed_is_told(line: str, found: list[tuple[str, str]], tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(
        f"import torch\ndef build():\n    {line}\n    return torch.nn.Linear(2, 2), {{'input': torch.ones(1, 2)}}\n"
    )
    said = analyzer.trace(tmp_path / "model.py", trust_remote_code=True)
    assert [(f.code, f.severity) for f in said.findings if f.code == "DT605"] == found
