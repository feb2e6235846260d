"""Every script that a report carries, run alone in another process, raises the finding's words."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import analyzer
from analyzer import cli
from analyzer.ir.graph import Script
from analyzer.ir.plan import Plan
from analyzer.ir.witness import Witness
from analyzer.render.json import render as to_json
from analyzer.render.repro import render
from analyzer.render.script_lines import functions, refused
from analyzer.report import Report, no_script
from tests.planted import ALL, Fault, planted
from tests.render.torch_functions import NEVER, names
from tests.samples.shrink import shrink
from tests.samples.test_minicpm_v_2 import FAULTY, _own_code_cache
from tests.versions import copies, five

own_code_cache = pytest.fixture(autouse=True)(_own_code_cache.__wrapped__)  # type: ignore[attr-defined]

RUNNER = """
import json, pathlib, runpy, sys
said = {}
for path in sorted(pathlib.Path(sys.argv[1]).rglob("*.py")):
    try:
        runpy.run_path(str(path))
        said[str(path)] = None
    except Exception as error:
        said[str(path)] = str(error).split("\\nException raised")[0].strip()
print(json.dumps(said))
"""


def _check(reports: dict[str, Report], folder: Path) -> int:
    """Run every script of the reports in one process, compare its words, and count the scripts."""
    expected = {}
    for name, report in reports.items():
        errors = [f for f in report.findings if f.severity == "error"]
        assert errors, name
        assert [no_script(report.graph, f) for f in errors] == [""] * len(errors), name
        files = render(report)
        assert files == render(report) and len(files) == len(errors), name
        (folder / name).mkdir()
        for (file, data), finding in zip(files.items(), errors, strict=True):
            (folder / name / file).write_bytes(data)
            expected[str(folder / name / file)] = finding.message
            first = data.decode().splitlines()[0]
            line = f"{finding.file}:{finding.line}" if finding.file else "a line that is not known"
            assert first.startswith(f"# {finding.code} ") and line in first
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", RUNNER, str(folder)], capture_output=True, text=True)
    assert json.loads(run.stdout) == expected
    return len(expected)


def b(*shape: int) -> torch.Tensor:
    return torch.ones(shape, dtype=torch.bfloat16)


def f(*shape: int) -> torch.Tensor:
    return torch.ones(shape)


TWO = torch.tensor([3, 5])
CALLS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "linear": (F.linear, (f(4, 300), b(30, 300), b(30))),
    "conv1d": (F.conv1d, (f(1, 3, 20), b(40, 3, 3))),
    "conv2d": (F.conv2d, (f(1, 3, 20, 20), b(40, 3, 3, 3), b(40))),
    "sdpa": (F.scaled_dot_product_attention, (f(1, 2, 20, 8), b(1, 2, 20, 8), b(1, 2, 20, 8))),
    "matmul": (torch.Tensor.matmul, (f(2, 3, 20, 30), b(30, 40))),
    "bmm": (torch.bmm, (f(2, 20, 30), b(2, 30, 20))),
    "baddbmm": (torch.baddbmm, (b(2, 20, 20), f(2, 20, 30), b(2, 30, 20))),
    "einsum": (torch.einsum, ("bij,bjk->bik", f(2, 20, 30), b(2, 30, 20))),
    "tensordot": (torch.tensordot, (f(4, 20), b(20, 4), 1)),
    "bilinear": (F.bilinear, (f(4, 20), b(4, 30), b(5, 20, 30))),
    "index_put": (lambda x, i, v: x.index_put_((i,), v), (b(20, 4), TWO, f(2, 4))),
    "setitem": (lambda x, i, v: x.__setitem__((i, slice(None, 2)), v), (b(20, 4), TWO, f(2, 2))),
    "scatter": (torch.scatter, (b(20, 4), 0, torch.zeros(2, 4, dtype=torch.long), f(2, 4))),
    "masked_scatter": (torch.Tensor.masked_scatter, (b(20, 4), torch.ones(20, 4, dtype=torch.bool), f(20, 4))),
    "index_add": (torch.index_add, (b(20, 4), 0, TWO, f(2, 4))),
    "batch_norm": (F.batch_norm, (b(2, 20, 4), f(20), f(20).double())),
    "layer_norm": (F.layer_norm, (f(2, 20), (20,), b(20), b(20))),
    "group_norm": (F.group_norm, (f(2, 20, 3), 2, b(20), b(20))),
    "lerp": (torch.lerp, (f(20), b(20), 0.5)),
    "grid_sample": (lambda x, g: F.grid_sample(x, g, align_corners=False), (b(1, 3, 8, 8), f(1, 4, 4, 2))),
    "solve": (torch.linalg.solve, (f(4, 4), f(4, 4).double())),
    "prelu": (F.prelu, (f(4, 20), b(20))),
    "attention": (nn.MultiheadAttention(32, 4).bfloat16().eval(), (f(5, 1, 32), b(7, 1, 32), b(7, 1, 32))),
    "gru": (nn.GRU(24, 32).bfloat16().eval(), (b(5, 1, 24), f(1, 1, 32))),
    "lstm": (nn.LSTM(24, 32).bfloat16().eval(), (b(5, 1, 24), (f(1, 1, 32), f(1, 1, 32)))),
}


def test_functions_of_torch(tmp_path: Path) -> None:
    reports = {name: analyzer.trace(call, args, plan=Plan(device="cpu")) for name, (call, args) in CALLS.items()}
    written = [report.graph[report.findings[0].nodes[0]].script.lines[-1] for report in reports.values()]
    assert not [line for line in written if line.startswith("torch.ops.")]  # all as a person would write them
    assert _check(reports, tmp_path) >= len(CALLS)


PLANTED = {
    "llama": ("model.layers.0.mlp.up_proj.weight", "model.norm.weight", "model.embed_tokens.weight"),
    "bert": ("encoder.layer.1.output.dense.weight", "embeddings.LayerNorm.weight", "pooler.dense.bias"),
    "t5": ("encoder.block.0.layer.0.SelfAttention.v.weight", "decoder.final_layer_norm.weight", "lm_head.weight"),
    "clip": ("vision_model.embeddings.patch_embedding.weight", "text_model.embeddings.position_embedding.weight"),
    "whisper": ("model.encoder.conv2.weight", "model.encoder.conv1.bias", "model.decoder.layers.1.fc1.weight"),
    "mixtral": (
        "model.layers.0.self_attn.o_proj.weight",
        "model.layers.1.mlp.gate.weight",
        "lm_head.weight",
    ),
    "wav2vec2": ("feature_extractor.conv_layers.0.conv.weight", "encoder.layers.0.attention.out_proj.weight"),
}


@five
def test_one_tensor_of_a_real_model_in_another_dtype(tmp_path: Path) -> None:
    reports = {}
    for name, parameters in PLANTED.items():
        for place, parameter in enumerate(parameters):
            module, inputs = planted(name, [Fault("parameter", parameter)])
            reports[f"{name}-{place}"] = analyzer.trace(module, kwargs=inputs, plan=Plan(device="cpu"))
    kinds = {"buffer": "layers.0", "hook": "embeddings", "table": "layers.1.mlp", "written": "layers.0"}
    for kind, where in kinds.items():
        module, inputs = planted("vit", [Fault(kind, where)])
        reports[f"vit-{kind}"] = analyzer.trace(module, kwargs=inputs, plan=Plan(device="cpu"))
    assert len(reports) > 15 and set(PLANTED) < set(ALL)
    assert _check(reports, tmp_path) >= len(reports)


@copies
def test_the_command_writes_the_samples_script_and_leaves_what_is_there(tmp_path: Path) -> None:
    model = shrink(FAULTY, tmp_path / "model", "bfloat16")
    scripts = tmp_path / "deep" / "scripts"
    scripts.mkdir(parents=True)
    (scripts / "mine.txt").write_text("mine")
    assert cli.main(["trace", str(model), "--trust-remote-code", "--repro", str(scripts)]) == cli.FOUND
    (script,) = scripts.glob("*.py")
    assert script.name.startswith("DT101-resampler.py-") and len(list(scripts.iterdir())) == 2
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert run.returncode != 0
    message = "mat1 and mat2 must have the same dtype, but got Float and BFloat16"
    assert run.stderr.strip().splitlines()[-1] == f"RuntimeError: {message}"
    assert "f32 from parameter resampler.pos_embed" in script.read_text().splitlines()[0]


FORGED = (
    "__import__('os').system('true')",
    "import os",
    "from torch import load",
    "torch.load('x.pt')",
    "torch.save(1, 'x.pt')",
    "torch.hub.load('a/b', 'c')",
    "torch.ops.load_library('x.so')",
    "torch.ops.aten.from_file.default('x', True, 9)",
    "torch.ops.aten.save.default(1, 'x')",
    "torch.from_file('x', shared=True, size=9)",
    "torch._from_blob(1, [1], [1])",
    "torch.utils.cpp_extension.load('x', ['x.cpp'])",
    "torch.serialization.os.system('true')",
    "torch.nn.functional.torch.load('x.pt')",
    "torch.compile(1)",
    "torch.jit.load('x.pt')",
    "torch = 1",
    "x0 = print\nx0('x')",
    "x0 = torch.load",
    "x0 = x1 = torch.ones(1)",
    "x0.mul_(2)",
    "x0 = torch.ones(1); x0.__class__",
    "torch.add(y, 1)",
    "torch.add(*[1, 2])",
    "torch.add(**{'a': 1})",
    "torch.Tensor.apply_(torch.ones(1), lambda x: x)",
    "torch.add(f'{__import__(\"os\")}', 1)",
    "torch.add([x for x in (1,)], 1)",
    "exec('1')",
    "eval('1')",
    "with open('x', 'w') as x0:\n    torch.ones(1)",
    "torch.ones(1)\x0cimport os",
    "torch.einsum('\u202e', 1)",
    "torch.add(\ud800)",
    "if True: torch.ones(1)",
    "torch.ones(b'x')",
    "(" * 500,
    "-" * 5000 + "1",
)


def _forged(lines: tuple[str, ...], **changes: Any) -> Report:
    report = analyzer.trace(F.linear, (f(4, 8), b(3, 8)), plan=Plan(device="cpu"))
    (finding,) = (one for one in report.findings if one.severity == "error")
    node = report.graph[finding.nodes[0]]
    report.graph.nodes[node.id] = replace(node, script=Script(lines))
    return replace(report, findings=(replace(finding, **changes),))


@pytest.mark.parametrize("line", FORGED)
def test_a_line_that_no_trace_writes_is_refused(line: str) -> None:
    assert refused(("x9 = torch.ones(2)", *line.split("\n")))


@pytest.mark.parametrize(
    "line",
    [
        "torch.Tensor.__setitem__(x0, (torch.tensor([3, 5], dtype=torch.int64), slice(None, 2, None)), x0)",
        "torch.add(x0, torch.tensor([(1+2j), (-1-0j)], dtype=torch.complex64), alpha=-1.5)",
        "torch.empty(2, device=torch.device('cpu'), memory_format=torch.channels_last, layout=torch.strided)",
        "torch.ops.aten.addmm.default(x0, x0, x0, beta=float('inf'))",
        "torch._scaled_mm(x0, x0, out_dtype=torch.bfloat16)",
        "torch.Tensor.__getitem__(x0, (Ellipsis, None, True))",
    ],
)
def test_a_line_that_a_trace_could_write_is_taken(line: str) -> None:
    assert refused(("x0 = torch.ones(2, dtype=torch.float8_e4m3fn)", line)) == ""


def test_a_forged_script_is_not_written_and_that_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.json").write_bytes(to_json(_forged(("__import__('os').system('true')",))))
    assert cli.main(["draw", str(tmp_path / "r.json"), "--repro", str(tmp_path / "scripts")]) == 0
    assert not list(tmp_path.rglob("*.py"))
    assert "analyze: no script for DT101" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["coding: utf-7 +AAo-raise SystemExit(7)", "a\nraise SystemExit(7)\n", "\rraise X"])
def test_a_comment_of_a_script_runs_nothing(name: str) -> None:
    spoken = Witness("from source", name)
    report = _forged(("torch.ones(1)",), module=name, file=name, asked=spoken, call=name, op=name, name=name)
    (source,) = render(report).values()
    body = ast.parse(source).body  # of the bytes, whose first lines may name an encoding
    assert [type(one) for one in body] == [ast.Import, ast.Expr]


def test_every_function_that_can_be_refused_may_be_called() -> None:
    assert not (missing := names() - functions()), f"python -m tests.render.torch_functions adds {sorted(missing)[:9]}"
    assert not NEVER & functions()
