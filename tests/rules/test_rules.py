"""Every rule's docstring is its page and its test: exactly the marked lines are flagged."""

from __future__ import annotations

import re
from dataclasses import replace
from types import ModuleType

import pytest
import torch

from analyzer.ir.dtypes import parse_dtype
from analyzer.ir.findings import Finding
from analyzer.ir.flow import Flow
from analyzer.ir.graph import above
from analyzer.ir.inventory import Held, Inventory
from analyzer.ir.plan import Engine, Plan, Training, Wrap
from analyzer.ir.reason import UNKNOWN, Reason
from analyzer.ir.text import parse_graph
from analyzer.rules import check, rules
from analyzer.running.forward import capture, from_callable
from tests.capture.models import MODELS, Resampler, make
from tests.capture.real import traced

RULES = rules()
by_code = pytest.mark.parametrize(("code", "name", "module"), RULES, ids=[code for code, _, _ in RULES])


def _graphs(module: ModuleType) -> list[str]:
    """The indented blocks of a docstring."""
    blocks = re.findall(r"(?:^    .*\n?)+", module.__doc__ or "", flags=re.MULTILINE)
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in blocks]


def _marked(text: str, code: str) -> set[str]:
    """The names of the marked nodes; of a line that is no node, its place."""
    lines = [line for line in text.splitlines() if line.endswith(f"# {code}")]
    return {line.split(" = ")[0] if " = " in line else re.findall(r"# (\S+:\d+)", line)[0] for line in lines}


def _flagged(finding: Finding) -> tuple[str, ...]:
    return finding.nodes or (f"{finding.file}:{finding.line}",)


def _said(text: str, what: str) -> dict[str, str]:
    """The words of a line `# what: name=value name` of an example."""
    lines = re.findall(rf"^# {what}: (.*)$", text, re.M)
    return dict(word.partition("=")[::2] for line in lines for word in line.split())


def _run(text: str) -> list[Finding]:
    graph, plan, frozen = parse_graph(re.sub(r"\s+# DT\d+$", "", text, flags=re.MULTILINE)), *_plan(text)
    stored = {name: said.partition("[")[::2] for name, said in _said(text, "checkpoint").items()}
    saved = {name: parse_dtype(dtype) for name, (dtype, _) in stored.items()}
    shapes = {name: tuple(map(int, shape[:-1].split(","))) for name, (_, shape) in stored.items() if shape}
    loaded = next((parse_dtype(name) for name in _said(text, "loaded")), "")
    narrowed = {name: said.partition(":")[::2] for name, said in _said(text, "narrowed").items()}
    why = {name: Reason("cast", "cast_by_plan", by, parse_dtype(was)) for name, (was, by) in narrowed.items()}
    why |= {name: Reason("cast", "cast_by_library") for name in _said(text, "widened")}
    held = [
        Held(
            n.op,
            n.name,
            n.outputs[0],
            trained=not n.name.startswith(frozen),
            saved=saved.get(n.id, ""),
            reason=why.get(n.id, UNKNOWN),
        )
        for n in graph.stored()
        if n.op in ("parameter", "buffer")
    ]
    classes = {path: "Module" for h in held for path in reversed(list(above(h.name.rpartition(".")[0])))}
    other = {n.name: shapes[n.id] for n in graph.stored() if shapes.get(n.id, n.outputs[0].shape) != n.outputs[0].shape}
    inventory = Inventory(
        tuple(held), classes, declared=loaded, loaded=loaded, other_shapes=other, has_checkpoint=bool(saved)
    )
    return check(replace(Flow.as_captured(graph, plan), inventory=inventory))


def _plan(text: str) -> tuple[Plan, tuple[str, ...]]:
    """The plan that a line `# plan: train fsdp=1 frozen=base` of an example states, and what is frozen."""
    words = _said(text, "plan")
    if not words:
        return Plan(), ()
    mixed = parse_dtype(words["mixed"]) if "mixed" in words else ""
    fsdp = Wrap(int(words["fsdp"]), "none", param_dtype=mixed) if "fsdp" in words else None
    engine = None
    if "deepspeed" in words:
        stage, more = int(words["deepspeed"]), words.get("accumulate", "")
        engine = Engine(stage, words["dtype"], "", more, words.get("masters", ""))
    training = Training(scaler="scaler" in words, fsdp=fsdp, deepspeed=engine, optimizer=words.get("optimizer", ""))
    return Plan(train="train" in words, training=training), tuple(filter(None, [words.get("frozen")]))


@by_code
def test_exactly_the_marked_lines_are_flagged(code: str, name: str, module: ModuleType) -> None:
    for text in _graphs(module):
        found = [f for f in _run(text) if f.code == code]
        assert {one for f in found for one in _flagged(f)} == _marked(text, code), text
        assert all(f.severity != "note" and f.name == name for f in found)


@by_code
def test_a_rule_has_a_sentence_a_bad_and_a_good_graph(code: str, name: str, module: ModuleType) -> None:
    assert (module.__doc__ or "").split("\n\n")[0].endswith(".")
    marked = [bool(_marked(text, code)) for text in _graphs(module)]
    assert True in marked
    assert False in marked
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)


def test_codes_and_names_are_unique() -> None:
    assert len({code for code, _, _ in RULES}) == len({name for _, name, _ in RULES}) == len(RULES) >= 4


NORM = """
x = input : bf16[2,32]
w = parameter : f32[32]  @ layers.{i}.norm
y = mul.Tensor(x, w) : f32[2,32]  @ layers.{i}.norm
"""


def _codes(text: str) -> list[tuple[str, str]]:
    return [(f.code, f.severity) for f in _run(text)]


def test_a_promotion_cast_back_at_home_is_a_note() -> None:
    text = NORM.format(i=0) + "z = _to_copy(y) : bf16[2,32]  @ layers.0.norm\n"
    assert _codes(text) == [("DT201", "note")]


def test_a_promotion_into_a_refused_call_is_the_errors_affair() -> None:
    text = NORM.format(i=0) + "k = parameter : bf16[32,8]  @ head\nz = mm(y, k) : bf16[2,8]  @ head  ! no\n"
    assert _codes(text) == [("DT101", "error")]


def test_promotions_that_meet_are_one_finding() -> None:
    text = """
    x = input : bf16[4,4]
    p = parameter : f32[4,4]  @ attn
    q = add.Tensor(x, p) : f32[4,4]  @ attn
    k = sub.Tensor(x, p) : f32[4,4]  @ attn
    y = mm(q, k) : f32[4,4]  @ attn
    z = add.Tensor(y, x) : f32[4,4]  @ attn
    out = _to_copy(z) : bf16[4,4]  @ head
    """
    assert _codes(re.sub(r"^ +", "", text, flags=re.MULTILINE)) == [("DT201", "warning")]
    (found,) = _run(re.sub(r"^ +", "", text.replace("@ head", "@ head\nr = relu(z) : f32[4,4]  @ mlp"), flags=re.M))
    assert (found.severity, found.nodes, found.widened_ops) == ("warning", ("q", "k", "z"), 5)
    assert found.widened_bytes == 5 * 16 * 2


RESIDUAL = """
x = input : bf16[4,4]
wide = _to_copy(x, dtype=f32) : f32[4,4]  @ layers.0
y = add.Tensor(x, wide) : f32[4,4]  @ layers.0
z = relu(y) : f32[4,4]  @ other.norm
"""


def test_a_residual_stream_that_the_code_casts_is_a_note_unless_a_product_runs_wide() -> None:
    assert _codes(RESIDUAL) == [("DT201", "note")]
    assert _codes(RESIDUAL + "p = mm(y, z) : f32[4,4]  @ other.mlp\n") == [("DT201", "warning")]
    assert _codes(RESIDUAL.replace("_to_copy(x, dtype=f32)", "parameter")) == [("DT201", "warning")]


class WithKeys(Resampler):
    """The table on the keys as well."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attend."""
        return self.attn(self.query + self.pos_embed, x + self.pos_embed, x)[0]  # type: ignore[no-any-return]


def test_the_seed_is_one_error_blamed_on_the_table() -> None:
    inputs = (torch.ones(5, 1, 32).bfloat16(),)
    graph = capture(from_callable(WithKeys().to("meta"), inputs, {}), Plan()).graph
    (error,) = check(Flow.as_captured(graph, Plan()))
    assert (error.code, error.call) == ("DT101", "multi_head_attention_forward")
    assert {o.name for operand in error.operands if operand.dtype == "float32" for o in operand.origins} == {
        "pos_embed"
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("train", [False, True])
def test_stock_models_give_no_warning(name: str, dtype: torch.dtype, train: bool) -> None:
    captured, _ = traced(*make(name, dtype), Plan(device="cpu", train=train))
    assert train == any(n.phase for n in captured.graph)
    assert [f for f in check(Flow.as_captured(captured.graph, Plan())) if f.severity != "note"] == []
