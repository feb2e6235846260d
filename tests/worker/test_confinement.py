"""A confined process does not get out, and does its work all the same."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from analyzer.worker.confinement import scrubbed
from analyzer.worker.confinement.calls import COLUMNS
from tests.worker.escapes import ESCAPES, ONLY_CONFINED
from tests.worker.place import as_text, place

ROOT = Path(__file__).parents[2]


def _has_landlock() -> bool:
    if not sys.platform.startswith("linux") or platform.machine() not in COLUMNS:
        return False
    return int(ctypes.CDLL(None).syscall(444, None, 0, 1)) > 0


pytestmark = pytest.mark.skipif(not _has_landlock(), reason="not Linux, or a kernel without Landlock")

# The kernel denies these to most people even without confinement.
NEEDS_RIGHTS = {
    "read_the_passwords", "truncate_without_access", "set_attribute", "io_uring", "trace_a_neighbour", "read_memory",
    "read_the_memory_of_a_neighbour", "take_a_descriptor", "raise_a_limit", "new_user_namespace", "mount",
    "change_root", "load_into_the_kernel", "watch_the_machine", "write_to_tmp", "limit_a_neighbour",
}  # fmt: skip


def _outcomes(mode: str, root: Path) -> dict[str, str]:
    with place(root) as where:
        for name in ESCAPES:
            (where.outside / name).write_text("what nobody may read", encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "tests.worker.escapes", mode, as_text(where)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(root / "home")},
            pass_fds=(where.inherited,),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.fixture(scope="module")
def confined(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return _outcomes("confined", tmp_path_factory.mktemp("confined"))


@pytest.fixture(scope="module")
def free(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return _outcomes("free", tmp_path_factory.mktemp("free"))


@pytest.mark.parametrize("name", ESCAPES)
def test_no_way_out(name: str, confined: dict[str, str]) -> None:
    assert confined[name] == "denied"


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 6])
def test_no_way_out_of_an_older_landlock(version: int, tmp_path: Path) -> None:
    if version > int(ctypes.CDLL(None).syscall(444, None, 0, 1)):
        pytest.skip("newer than this kernel's")
    assert {name: outcome for name, outcome in _outcomes(str(version), tmp_path).items() if outcome != "denied"} == {}


@pytest.mark.parametrize("name", sorted(set(ESCAPES) - set(ONLY_CONFINED)))
def test_the_same_succeeds_without_confinement(name: str, free: dict[str, str]) -> None:
    if name in NEEDS_RIGHTS and free[name] != "escaped":
        pytest.skip("denied on this machine even without confinement")
    assert free[name] == "escaped"


WORK = """
import sys
from pathlib import Path
from analyzer.worker.confinement import Rules, confine, interpreter_paths, model_paths
model, scratch = sys.argv[1:]
held = confine(Rules((*interpreter_paths(), *model_paths(Path(model))), (scratch,), address_space=24 << 30))
assert held.files and held.network and held.processes and held.memory and held.line() == "", held
"""


def _work(code: str, folder: Path) -> str:
    (folder / "scratch").mkdir()
    (folder / "model").mkdir()
    (folder / "weights.safetensors").write_text("weights", encoding="utf-8")
    (folder / "model" / "model.safetensors").symlink_to("../weights.safetensors")
    command = [sys.executable, "-c", WORK + code, str(folder / "model"), str(folder / "scratch")]
    environment = scrubbed({**os.environ, "PYTHONPATH": str(ROOT)}, str(folder / "scratch"))
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


FILES = """
import os, shutil, tempfile
from pathlib import Path
assert Path(model, "model.safetensors").read_text() == "weights"
with tempfile.NamedTemporaryFile() as file:
    assert file.name.startswith(scratch)
with tempfile.TemporaryDirectory() as folder:
    shutil.copy2(Path(model, "model.safetensors"), folder)
    os.rename(Path(folder, "model.safetensors"), Path(scratch, "moved"))
    Path(folder, "deep", "er").mkdir(parents=True)
Path(scratch, "moved").unlink()
Path(os.devnull).write_text("x")
with open("/proc/self/status") as file:
    status = {line.partition(":")[0]: line.partition(":")[2].strip() for line in file}
print(status["NoNewPrivs"], status["Seccomp"], int(status["CapEff"], 16) & ~4, os.listdir(scratch))
"""


def test_the_scratch_folder_the_model_and_its_weights_are_open(tmp_path: Path) -> None:
    assert _work(FILES, tmp_path) == "1 2 0 []\n"


THREADS = """
import os, signal
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(4) as pool:
    print(sum(pool.map(lambda number: number * number, range(100))))
signal.signal(signal.SIGUSR1, lambda *_: print("caught"))
os.kill(os.getpid(), signal.SIGUSR1)
try:
    bytearray(32 << 30)
except MemoryError:
    print("limited")
"""


def test_threads_own_signals_and_the_memory_limit_work(tmp_path: Path) -> None:
    assert _work(THREADS, tmp_path) == "328350\ncaught\nlimited\n"


LIBRARIES = """
import importlib, importlib.util, sys
for name in ("torch", "transformers", "networkx", "safetensors", "peft", "accelerate", "diffusers", "timm"):
    if importlib.util.find_spec(name):
        importlib.import_module(name)
import torch, transformers
torch.set_num_threads(2)
square = torch.randn(600, 600) @ torch.randn(600, 600)
config = transformers.LlamaConfig(
    vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
)
model = transformers.LlamaForCausalLM(config)
model.save_pretrained(scratch)
again = transformers.AutoModelForCausalLM.from_pretrained(scratch)
print(square.isfinite().all().item(), torch.get_num_threads(), again(torch.tensor([[1, 2]])).logits.shape[-1])
"""


def test_the_libraries_are_imported_and_compute_inside(tmp_path: Path) -> None:
    assert _work(LIBRARIES, tmp_path).splitlines()[-1] == "True 2 32"


FORKED = """
import os, sys, time
import torch
from analyzer.worker.confinement import Rules, confine, interpreter_paths
torch.set_num_threads(1)
process = os.fork()
if process == 0:
    torch.set_num_threads(2)
    held = confine(Rules(interpreter_paths(), (sys.argv[1],)))
    print(held.files, held.network, held.processes, held.memory, repr(held.line()))
    print((torch.ones(600, 600) @ torch.ones(600, 600)).sum().item(), flush=True)
    os.kill(os.getpid(), 9)
assert os.waitpid(process, 0)[1] == 9
with open(sys.argv[1] + "/../beside", "w"):
    print("free")
"""


def test_a_forked_child_is_confined_alone(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    command = [sys.executable, "-c", FORKED, str(tmp_path / "scratch")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True True True False ''\n216000000.0\nfree\n"


GIVEN = """
import errno, os, sys
from analyzer.worker.confinement import Rules, confine, interpreter_paths
kept, lost, scratch = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
assert confine(Rules(interpreter_paths(), (scratch,), file_size=1 << 20), keep=(kept,)).line() == ""
os.write(lost, b"lost")
try:
    with open(scratch + "/large", "wb") as file:
        file.write(bytes(2 << 20))
except OSError as error:
    os.write(kept, errno.errorcode[error.errno].encode())
os.close(lost)
"""


def test_a_given_descriptor_stays_and_a_large_file_does_not_fit(tmp_path: Path) -> None:
    kept, given = os.pipe()
    lost, stray = os.pipe()
    command = [sys.executable, "-c", GIVEN, str(given), str(stray), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, pass_fds=(given, stray), capture_output=True, text=True, check=False)
    os.close(given)
    os.close(stray)
    with os.fdopen(kept, "rb") as from_given, os.fdopen(lost, "rb") as from_stray:
        assert (done.returncode, done.stderr, from_given.read(), from_stray.read()) == (0, "", b"EFBIG", b"")


LATE = """
import sys, threading
from analyzer.worker.confinement import Rules, confine, interpreter_paths
threading.Thread(target=threading.Event().wait, daemon=True).start()
print(confine(Rules(interpreter_paths(), (sys.argv[1],))).line())
"""


def test_a_process_with_threads_is_not_called_confined(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LATE, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "not confined: threads were running already\n", done.stderr


def test_the_page_counts_the_ways_out() -> None:
    page = (ROOT / "docs" / "sandbox.md").read_text(encoding="utf-8")
    assert f"`tests/worker` holds {len(ESCAPES)} ways out." in page
