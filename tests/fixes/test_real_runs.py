"""The second half of a proof: what mends for real is proved, what only clears the trace is told, what breaks is not."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers import LlamaConfig

from analyzer import Plan, trace
from analyzer.actions.fix import run_fix
from analyzer.actions.trace import run_trace
from analyzer.cli import main
from analyzer.errors import Interrupted
from analyzer.fixes.real import sources
from analyzer.ir.fixes.proof import NOT_RUN, RealRun
from analyzer.ir.fixes.proposals import Edit, Proposal, Trial
from analyzer.ir.steps import parse_steps
from analyzer.loaders.request import ModelRequest
from analyzer.report.reader import parse_report
from analyzer.running.real_runs import real_run

CPU: Final = Plan(device="cpu")
_FILE: Final = """
import torch
import torch.nn.functional as F
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        {init}

    def forward(self, x):
        {forward}

def build():
    torch.manual_seed(0)
    return Net(), {{"x": torch.randn(3, 8).to({dtype})}}
"""


def _file(folder: Path, init: str, forward: str, dtype: str = "torch.bfloat16") -> Path:
    file = folder / "m.py"
    lines = (text.replace("\n", "\n        ") for text in (init, forward))
    file.write_text(_FILE.format(init=next(lines), forward=next(lines), dtype=dtype))
    return file


def _tried(file: Path, plan: Plan = CPU, *asked: Proposal) -> dict[str, Trial]:
    return {trial.proposal.what: trial for trial in run_fix(ModelRequest(file), [plan], asked=asked)[1]}


def _built(file: Path) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    names: dict[str, Any] = {}
    exec(file.read_text(), names)
    made: tuple[nn.Module, dict[str, torch.Tensor]] = names["build"]()
    return made


ADDED: Final = """self.pos = nn.Parameter(torch.full((8,), {size}))
self.l = nn.Linear(8, 8, dtype={dtype})"""


def test_a_cast_that_really_mends_is_proved(tmp_path: Path) -> None:
    file = _file(tmp_path, ADDED.format(size=2.0, dtype="torch.bfloat16"), "return self.l(x + self.pos)")
    trial = _tried(file)["cast pos to bf16 once after loading"]
    assert (trial.proved, trial.clears, trial.verdict()) == (True, True, "proved: clears all")
    net, inputs = _built(file)
    with pytest.raises(RuntimeError, match="must have the same dtype"):
        net(**inputs)
    net.pos.data = net.pos.data.bfloat16()  # type: ignore[union-attr, operator]
    wide = copy.deepcopy(net).double()
    assert torch.allclose(net(**inputs).double(), wide(inputs["x"].double()), atol=0.05)


def test_a_cast_that_overflows_clears_the_trace_and_does_not_help(tmp_path: Path) -> None:
    init = ADDED.format(size=1e5, dtype="torch.float16")
    file = _file(tmp_path, init, "return self.l((x + self.pos) / 1e4)", "torch.float16")
    tried = _tried(file)
    cast = tried["cast pos to f16 once after loading"]
    assert (cast.errors_left, cast.proved, cast.clears, cast.real.kind) == (0, False, False, "fails")
    assert cast.verdict() == "does not help: the real run gives NaN in output 0, where float64 has none"
    net, inputs = _built(file)
    net.pos.data = net.pos.data.half()  # type: ignore[union-attr, operator]
    assert not net(**inputs).isfinite().any()
    (source,) = [trial for trial in tried.values() if trial.proposal.kind == "source"]
    assert source.proved and next(iter(tried.values())).proved
    report = run_trace(ModelRequest(file, CPU))
    (fix,) = report.findings[0].fixes
    assert (fix.cleared, fix.proved, fix.real.kind) == (True, False, "fails")


def test_a_patch_with_other_values_does_not_help(tmp_path: Path) -> None:
    line = "return self.l(x + self.pos)"
    file = _file(tmp_path, ADDED.format(size=2.0, dtype="torch.bfloat16"), line)
    text = file.read_text()
    good, bad = (text.replace(line, f"return self.l((x {sign} self.pos).to(x.dtype))") for sign in "+-")
    asked = [Proposal("source", name, edits=(Edit("m.py", 12, text, patched),)) for name, patched in
             (("good", good), ("bad", bad))]  # fmt: skip
    tried = _tried(file, CPU, *asked)
    assert tried["good"].proved
    assert (tried["bad"].errors_left, tried["bad"].real.kind) == (0, "fails")
    assert "gives output 0 off by" in tried["bad"].verdict()


def test_a_patch_that_raises_for_real_does_not_help(tmp_path: Path) -> None:
    line = "return self.l(x + self.pos)"
    file = _file(tmp_path, ADDED.format(size=2.0, dtype="torch.bfloat16"), line)
    text = file.read_text()
    raises = text.replace(line, "assert float(x[0, 0]) > 1e6\n        return self.l((x + self.pos).to(x.dtype))")
    trial = _tried(file, CPU, Proposal("source", "asked", edits=(Edit("m.py", 12, text, raises),)))["asked"]
    assert not trial.proved and (trial.failed or trial.real.kind == "fails"), trial.verdict()


def test_what_only_cuda_refuses_is_cleared_in_the_trace_and_never_proved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = _file(tmp_path, "self.n = nn.LayerNorm(8)", "return self.n(x)", "torch.float16")
    net, inputs = _built(file)
    assert net(**inputs).dtype == torch.float16  # the CPU takes it
    tried = _tried(file, Plan(device="cuda"))
    cleared = [trial for trial in tried.values() if trial.errors_left == 0 and trial.ran]
    assert cleared and not any(trial.proved for trial in tried.values())
    said = "cleared in the trace, not run: the error does not appear on this CPU"
    assert {trial.verdict() for trial in cleared} == {said}
    assert main(["fix", str(file), "--apply", str(tmp_path / "plan.json"), "--in-process"]) == 0
    told = capsys.readouterr()
    assert f" ({said})" in told.err
    assert main(["trace", str(file), "--out", str(tmp_path / "r.json"), "--in-process"]) == 1
    assert "no proved fix here; see analyze fix" in capsys.readouterr().out
    (finding,) = json.loads((tmp_path / "r.json").read_text())["findings"]
    (fix,) = finding["fixes"]
    assert (fix["proved"], fix["cleared"], fix["real"]["kind"]) == (False, True, "not run")


def test_a_large_model_is_shrunk(tmp_path: Path) -> None:
    config = LlamaConfig(
        architectures=["LlamaForCausalLM"], num_hidden_layers=12, hidden_size=1024, intermediate_size=2816,
        num_attention_heads=16, num_key_value_heads=4, vocab_size=32000,
    )  # fmt: skip
    config.save_pretrained(tmp_path)
    deep = Plan(device="cpu", dtype="bfloat16", set={"model.layers.9.mlp.down_proj": "float32"})
    (fix,) = run_trace(ModelRequest(tmp_path, deep)).findings[0].fixes
    assert "model.layers.9" in fix.what and fix.proved  # a layer that the smaller model has not
    plan = Plan(device="cpu", dtype="bfloat16", set={"model.norm": "float32"})
    tried = _tried(tmp_path, plan)
    assert tried["cast model.norm.weight to bf16 once after loading"].proved
    assert tried["cast lm_head.weight to f32 once after loading"].proved
    (finding,) = run_trace(ModelRequest(tmp_path, plan)).findings
    assert [(fix.proved, fix.errors_left) for fix in finding.fixes] == [(True, 0)]
    assert sorted(file.name for file in tmp_path.iterdir() if file.name != "generation_config.json") == ["config.json"]


class Net(nn.Module):
    """Adds a wide table to narrow features."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(8))
        self.l = nn.Linear(8, 8, dtype=torch.bfloat16)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1  # type: ignore[operator]
        return self.l(x + self.table)  # type: ignore[no-any-return]


X: Final = torch.ones(3, 8, dtype=torch.bfloat16)


@pytest.mark.parametrize("where", ["cpu", "meta"])
def test_a_module_in_memory_is_copied_and_stays_as_it_is(where: str) -> None:
    torch.manual_seed(0)
    net = Net().to(where)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    (finding,) = trace(net, (X,), plan=CPU).findings
    assert [fix.proved for fix in finding.fixes] == [True]
    if where == "cpu":
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_the_values_that_a_module_in_memory_has_decide() -> None:
    net = Net().to(torch.float16).float()
    net.l.to(torch.float16)
    net.table.data = torch.full((8,), 1e6)
    (finding,) = trace(net, (X.half(),), plan=CPU).findings
    assert [(fix.cleared, fix.proved, fix.real.kind) for fix in finding.fixes] == [(True, False, "fails")]
    net.table.data = torch.full((8,), 2.0)
    (finding,) = trace(net, (X.half(),), plan=CPU).findings
    assert [(fix.proved, fix.real.kind) for fix in finding.fixes] == [(True, "mends")]


def test_a_function_that_holds_a_tensor_of_its_own_is_not_called_for_real() -> None:
    held = torch.zeros(3, 3)

    def add(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        held.add_(1)
        return F.linear(x, w)

    for call, kind in ((add, "not run"), (F.linear, "mends"), (_product, "mends")):
        (finding,) = trace(call, (torch.ones(3, 3), torch.ones(3, 3).bfloat16()), plan=CPU).findings
        assert [fix.real.kind for fix in finding.fixes] == [kind]
    assert not held.any()


def _product(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return F.linear(x, w)


class _Twice(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(w)
        return x * 2

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        return grads[0] @ ctx.saved_tensors[0], None


class Backward(nn.Module):
    """Its own backward pass multiplies gradients with a wide weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8, dtype=torch.bfloat16)
        self.w = nn.Parameter(torch.randn(8, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _Twice.apply(self.first(x), self.w)  # type: ignore[no-any-return, no-untyped-call]


def test_a_backward_pass_is_really_run() -> None:
    (finding,) = trace(Backward(), (X,), plan=Plan(device="cpu", train=True)).findings
    assert finding.phase == "backward"
    assert [(fix.what, fix.real.kind) for fix in finding.fixes] == [
        ("cast parameter w to bf16 once after loading", "mends")
    ]


class Gap(nn.Module):
    """Behind a kernel that CUDA has for float16 and the CPU has not, a wide table meets narrow weights."""

    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(8, 8, dtype=torch.float16)
        self.table = nn.Parameter(torch.ones(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.l(F.avg_pool3d(x, 1) + self.table)  # type: ignore[no-any-return]


def test_a_half_kernel_that_the_cpu_alone_lacks_is_lent() -> None:
    half = torch.ones(1, 1, 2, 2, 8).half()
    with pytest.raises(RuntimeError, match="not implemented for 'Half'"):
        F.avg_pool3d(half, 1)
    (finding,) = trace(Gap(), (half,), plan=Plan(device="cuda")).findings
    assert "same dtype" in finding.message
    assert [fix.real.kind for fix in finding.fixes] == ["mends"]
    lacks, *_ = trace(Gap(), (half,), plan=CPU).findings
    assert "not implemented" in lacks.message and not any(fix.proved for fix in lacks.fixes)


class Two(nn.Module):
    """Two faults, one behind the other."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.ones(8)), nn.Parameter(torch.ones(8))
        self.l, self.m = (nn.Linear(8, 8, dtype=torch.bfloat16) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.l(x + self.a).bfloat16()
        return self.m(x * self.b)  # type: ignore[no-any-return]


def test_the_second_of_two_faults_is_reached_with_the_fix_of_the_first() -> None:
    findings = trace(Two(), (X,), plan=CPU).findings
    assert [(fix.what, fix.proved, fix.errors_left) for finding in findings for fix in finding.fixes] == [
        (f"cast parameter {name} to bf16 once after loading", True, 1) for name in "ab"
    ]


class Random(nn.Module):
    """Its result is drawn at random."""

    def __init__(self) -> None:
        super().__init__()
        self.l = nn.Linear(8, 8, dtype=torch.bfloat16)
        self.table = nn.Parameter(torch.ones(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.l(torch.randn_like(x) + self.table)  # type: ignore[no-any-return]


class Deep(nn.Module):
    """Many layers, so that rounding adds up, and a choice that rounding turns over."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.ones(64))
        self.layers = nn.ModuleList([nn.Linear(64, 64, dtype=torch.bfloat16) for _ in range(24)])
        self.router = nn.Linear(64, 8, dtype=torch.bfloat16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.table
        for layer in self.layers:
            x = x + torch.tanh(3 * layer(x))
        best = self.router(x).topk(2, -1).indices
        return x * F.one_hot(best, 8).sum(-2).repeat(1, 8)


@pytest.mark.parametrize("made", ["torch.tensor([1, 5, 2], dtype=torch.int32)", "torch.tensor([1, 5, 2]).int()"])
def test_an_integer_that_no_float_mends_is_proved_against_int64(tmp_path: Path, made: str) -> None:
    file = _file(
        tmp_path,
        "self.l = nn.Linear(8, 8)",
        f"labels = {made}\nreturn F.cross_entropy(self.l(x), labels)",
        "torch.float32",
    )
    net, inputs = _built(file)
    with pytest.raises(RuntimeError, match=r"scalar type Long|Long or Byte"):  # the words of torch 2.6, and later ones
        net(**inputs)
    trial = next(trial for trial in _tried(file).values() if trial.clears)
    assert trial.proved, trial.verdict()
    mended = tmp_path / "mended"
    mended.mkdir()
    (mended / "m.py").write_text(trial.proposal.edits[0].after)
    net, inputs = _built(mended / "m.py")
    assert torch.allclose(net(**inputs), F.cross_entropy(net.l(inputs["x"]), torch.tensor([1, 5, 2])))


def test_a_fraction_that_is_cut_off_to_an_integer_is_no_proof(tmp_path: Path) -> None:
    file = _file(
        tmp_path,
        'self.l = nn.Linear(8, 8)\nself.register_buffer("kept", torch.zeros(3, 8, dtype=torch.int32))',
        "self.kept.index_copy_(0, torch.arange(3), self.l(x))\nreturn self.kept + 1",
        "torch.float32",
    )
    assert not any(trial.proved for name, trial in _tried(file).items() if "source" in name)


def test_random_results_are_no_proof_and_rounding_is_no_fault() -> None:
    torch.manual_seed(0)
    (finding,) = trace(Random(), (X,), plan=CPU).findings
    assert [fix.real for fix in finding.fixes] == [RealRun("not run", "its results are drawn at random")]
    (finding,) = trace(Deep(), (torch.randn(16, 64).bfloat16(),), plan=CPU).findings
    assert [fix.real.kind for fix in finding.fixes] == ["mends"]


def test_under_cudas_autocast_the_real_run_has_cudas_casts(tmp_path: Path) -> None:
    init = """self.l = nn.Linear(8, 8)
self.register_buffer("out", torch.zeros(3, 8, dtype=torch.bfloat16))"""
    forward = "return self.out.index_add(0, torch.arange(3), torch.softmax(self.l(x), -1))"
    file = _file(tmp_path, init, forward, "torch.float32")
    assert _tried(file, Plan(device="cpu", autocast="cpu:bfloat16")) == {}  # whose softmax stays narrow
    tried = _tried(file, Plan(device="cuda", autocast="cuda:bfloat16"))
    sources = [trial for trial in tried.values() if trial.proposal.kind == "source"]
    assert {trial.verdict() for trial in sources} == {"proved: clears all"}


def test_bounds_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _file(tmp_path, ADDED.format(size=2.0, dtype="torch.bfloat16"), "return self.l(x + self.pos)")
    what = "cast pos to bf16 once after loading"
    with monkeypatch.context() as patch:
        patch.setattr(real_run, "SECONDS", -1.0)
        assert _tried(file)[what].verdict() == "cleared in the trace, not run: it takes more than -1 s"
    with monkeypatch.context() as patch:
        patch.setattr(real_run, "MEMORY", -(1 << 60))
        assert "GB of memory" in _tried(file)[what].verdict()
    monkeypatch.setattr(sources, "LARGEST", 10)
    monkeypatch.setattr(sources, "SMALL", 10)
    said = "it is too large, and no smaller model shows the error"
    assert _tried(file)[what].verdict() == f"cleared in the trace, not run: {said}"


def test_a_model_without_errors_is_never_really_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("it was run")

    monkeypatch.setattr("analyzer.fixes.real.bench.run_really", never)
    file = _file(tmp_path, "self.l = nn.Linear(8, 8, dtype=torch.bfloat16)", "return self.l(x)")
    assert _tried(file) == {}
    assert run_trace(ModelRequest(file, CPU)).findings == ()


def test_the_outcome_is_in_the_report_and_the_bytes_are_the_same_twice(tmp_path: Path) -> None:
    net = Net()
    reports = [json.dumps(trace(net, (X,), plan=CPU).to_json()) for _ in range(2)]
    assert reports[0] == reports[1]
    read = parse_report(reports[0].encode(), "it")
    assert [fix.real.kind for fix in read.findings[0].fixes] == ["mends"]
    data = json.loads(reports[0])
    for key in ("real", "cleared"):  # as reports were before
        del data["findings"][0]["fixes"][0][key]
    old = parse_report(json.dumps(data).encode(), "it")
    assert old.findings[0].fixes[0].real == NOT_RUN


def test_steps_and_an_adapter_are_really_run(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    LlamaConfig(
        architectures=["LlamaForCausalLM"], num_hidden_layers=2, hidden_size=64, intermediate_size=96,
        num_attention_heads=4, num_key_value_heads=2, vocab_size=256,
    ).save_pretrained(base)  # fmt: skip
    lora = peft.LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM", base_model_name_or_path=str(base))
    lora.save_pretrained(str(adapter))
    plan = Plan(device="cpu", dtype="bfloat16", set={"model.norm": "float32"})
    requests = [
        ModelRequest(base, plan, steps=parse_steps("prefill,decode")),
        ModelRequest(base, replace(plan, adapter=str(adapter))),
        ModelRequest(base, replace(plan, adapter=str(adapter), train=True)),
    ]
    for request in requests:
        (finding,) = [one for one in run_trace(request).findings if one.severity == "error"]
        assert [(fix.proved, fix.real.kind) for fix in finding.fixes] == [(True, "mends")], request


def test_a_deadline_in_a_real_run_leaves_what_the_trace_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(*_: object, **__: object) -> None:
        raise Interrupted("stopped after 1 s")

    file = _file(tmp_path, ADDED.format(size=2.0, dtype="torch.bfloat16"), "return self.l(x + self.pos)")
    monkeypatch.setattr("analyzer.fixes.real.bench.run_really", ended)
    tried = _tried(file)
    said = {trial.verdict() for trial in tried.values() if trial.ran and not trial.errors_left}
    assert said == {"cleared in the trace, not run: stopped after 1 s"}
    assert [finding.code for finding in run_trace(ModelRequest(file, CPU)).findings] == ["DT101"]
