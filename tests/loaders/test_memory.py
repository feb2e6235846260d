"""No model takes real memory, whatever its constructor or its forward says of devices, arrays and files of weights."""

from __future__ import annotations

import json
import os
import pickle
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from analyzer.capture.emulation.large_tensors import TOGETHER
from analyzer.capture.emulation.weight_files import unread
from analyzer.capture.tensor import LARGE
from analyzer.errors import AnalyzerError
from analyzer.loaders.constructor import construct_own
from tests.loaders.remote import Code

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="reads Linux's /proc")

SIDE = 7 << 10
"""A square of so many floats has 196 MiB."""
MOST = TOGETHER + (24 << 20)
"""Bytes that a model may add at its peak."""


def _peak(run: Any) -> int:
    """By how many bytes the memory of this process, at its highest, grows over a call."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what there is
    before = _kilobytes("VmHWM")
    run()
    return (_kilobytes("VmHWM") - before) << 10


def _kilobytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files of weights that would take much memory if they were read; a first trace is behind us."""
    folder = tmp_path_factory.mktemp("weights")
    Code().trace(folder)
    held = {"w": torch.zeros(SIDE, SIDE), "few": torch.arange(4.0)}
    torch.save(held, folder / "w.bin")
    torch.save(held, folder / "old.bin", _use_new_zipfile_serialization=False)
    size = SIDE * SIDE * 4
    said = json.dumps({"w": {"dtype": "F32", "shape": [SIDE, SIDE], "data_offsets": [0, size]}}).encode()
    _with_hole(folder / "w.safetensors", len(said).to_bytes(8, "little") + said, size)
    header = BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (SIDE, SIDE)})
    _with_hole(folder / "w.npy", header.getvalue(), size)
    np.savez_compressed(folder / "w.npz", w=np.zeros((SIDE, SIDE), np.float32), few=np.arange(4.0))
    return folder


def _with_hole(path: Path, header: bytes, size: int) -> None:
    path.write_bytes(header)
    os.truncate(path, len(header) + size)


_SAFE = "from safetensors import safe_open\nfrom safetensors.torch import load_file"
_LARGE = {
    "zeros on the CPU": "self.t = nn.Parameter(torch.zeros(S, S, device='cpu'))",
    "a table in each layer": "for i in range(20): self.register_buffer(f't{i}', torch.ones(S, 1 << 11, device='cpu'))",
    "cuda": "self.a = nn.Linear(S, S).cuda(); self.b = nn.Linear(S, S, device='cuda')",
    "to the CPU": "self.t = nn.Linear(S, S).to('cpu'); self.u = nn.Parameter(torch.randn(S, S).cpu())",
    "to_empty": "self.t = nn.Linear(S, S).to_empty(device='cpu'); self.t.weight.data.fill_(1)",
    "empty": "self.t = torch.empty(1 << 40)",
    "an array": "self.t = nn.Parameter(torch.from_numpy(np.zeros((S, S), np.float32)) + 1)",
    "a copied array": "self.t = nn.Parameter(torch.tensor(np.zeros((S, S), np.float32)))",
    "filled": "self.t = nn.Parameter(torch.Tensor(S, S)); nn.init.normal_(self.t); self.t.data.uniform_(-1, 1)",
    "random": "self.t = nn.Parameter(torch.randn(S, S, device='cpu') * 0.02)",
    "an outer product": "a = torch.arange(S, device='cpu').float(); b = torch.outer(a, a); b[0] = 1; self.t = b.cos()",
    "torch.load": "self.t = nn.Linear(S, S, False); self.t.load_state_dict({'weight': torch.load(W + '/w.bin')['w']})",
    "torch.load, open": "self.t = nn.Parameter(torch.load(open(W + '/w.bin', 'rb'))['w'] * 2)",
    "torch.load, old": "self.t = nn.Parameter(torch.load(W + '/old.bin')['w'] * 2)",
    "load_file": "self.t = nn.Parameter(load_file(W + '/w.safetensors')['w'] * 2)",
    "safe_open": "self.t = nn.Parameter(safe_open(W + '/w.safetensors', 'pt').get_tensor('w') * 2)",
    "np.load": "self.t = nn.Parameter(torch.from_numpy(np.load(W + '/w.npy')) * 2)",
    "np.load of several": "self.t = nn.Parameter(torch.from_numpy(np.load(W + '/w.npz')['w']) * 2)",
}  # fmt: skip


@pytest.mark.parametrize("form", _LARGE)
def test_a_constructor_takes_no_memory(form: str, weights: Path, tmp_path: Path) -> None:
    imports = f"import numpy as np\n{_SAFE}\nS, W = {SIDE}, {str(weights)!r}"
    code = Code(imports=imports, init=_LARGE[form].replace("; ", "\n"))
    seen: list[Any] = []

    assert _peak(lambda: seen.append(code.trace(tmp_path))) < MOST
    assert not seen[0].coverage.incomplete and seen[0].coverage.ops


_RUN = {
    "zeros": "x = x + torch.zeros(S, S, device='cpu').sum() + torch.ones(S * S).mean()",
    "numbers": "x = x + torch.arange(S * S, device='cpu').sum() + torch.arange(0.0, S * S).sum()",
    "an array": "x = x + torch.from_numpy(np.zeros((S, S), np.float32)).sum()",
    "read": "x = x + float(x.float().new_zeros(S, S).numpy()[0, 0])",
    "a large view": "x = x + x.new_zeros(S * S).view(S // 4, 4, S).float().sum()",
    "loaded": "x = x + torch.load(W + '/w.bin')['w'].sum()",
}


@pytest.mark.parametrize("form", _RUN)
def test_a_forward_takes_no_memory(form: str, weights: Path, tmp_path: Path) -> None:
    code = Code(imports=f"import numpy as np\nS, W = {SIDE}, {str(weights)!r}", forward=_RUN[form])
    seen: list[Any] = []

    assert _peak(lambda: seen.append(code.trace(tmp_path))) < MOST
    assert not seen[0].coverage.incomplete and seen[0].coverage.ops


def test_the_peak_is_seen() -> None:
    assert _peak(lambda: torch.ones(SIDE, SIDE).sum()) > SIDE * SIDE * 4 * 0.9


def test_what_is_small_is_real_and_right(weights: Path) -> None:
    def build() -> torch.Tensor:
        small = torch.load(weights / "w.bin")["few"] + torch.from_numpy(np.load(weights / "w.npz")["few"])
        table = torch.arange(300, device="cpu").float().outer(torch.ones(300, device="cpu"))
        return small + table[7, 0]

    assert construct_own(build).tolist() == [7, 9, 11, 13]


def test_shapes_and_dtypes_are_those_of_the_real_call() -> None:
    calls = {
        "zeros": lambda n: torch.zeros(n, 3, dtype=torch.float16, device="cpu"),
        "eye": lambda n: torch.eye(int(n**0.5), device="cpu"),
        "arange": lambda n: torch.arange(0, n, device="cpu"),
        "array": lambda n: torch.tensor(np.zeros((n, 2)), dtype=torch.float32),
        "outer": lambda n: torch.arange(n // 64, device="cpu").double().outer(torch.ones(64, device="cpu").double()),
    }  # fmt: skip
    for name, call in calls.items():
        large, small = construct_own(lambda call=call: call(LARGE // 2)), construct_own(lambda call=call: call(1 << 12))
        real = call(1 << 12)

        assert large.is_meta and not small.is_meta, name
        assert (small.shape, small.dtype) == (real.shape, real.dtype) and large.dtype == real.dtype, name
        assert (large.dim() == real.dim() and large.shape[1:] == real.shape[1:]) or name == "eye"


def test_a_pickle_in_a_constructor_runs_no_code(tmp_path: Path) -> None:
    class Leaves:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "mark"),)

    (tmp_path / "w.bin").write_bytes(pickle.dumps({"w": Leaves()}))

    with pytest.raises(AnalyzerError, match=r"w\.bin holds more than tensors, and a pickle runs code"):
        Code(init=f"torch.load({str(tmp_path / 'w.bin')!r}, weights_only=False)").trace(tmp_path)
    assert not (tmp_path / "mark").exists()


def test_whole_files_are_read_where_tensors_are_to_be_real(weights: Path) -> None:
    with unread(whole=True):
        assert not torch.load(weights / "w.bin")["w"].is_meta
    with unread():
        assert torch.load(weights / "w.bin")["w"].is_meta
