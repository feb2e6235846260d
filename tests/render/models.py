"""Small graphs in text form that look like real models, and their findings."""

from __future__ import annotations

from analyzer.ir.findings import Coverage, Finding, Operand, Origin
from analyzer.ir.flow import Flow
from analyzer.ir.graph import ModelGraph
from analyzer.ir.plan import Plan
from analyzer.ir.reason import Reason
from analyzer.ir.text import parse_graph
from analyzer.picture import Box, View
from analyzer.report import Report, take_census

MESSAGE = "expected m1 and m2 to have the same dtype, but got: float != c10::BFloat16"


def _seed_text() -> str:
    lines = [
        "pixel_values = input : bf16[1,3,448,448]  @ pixel_values",
        "input_ids = input : i64[1,80]  @ input_ids",
        "vpm.w = parameter : bf16[1152,588]  @ vpm.patch_embed.w",
        "v = convolution(pixel_values, vpm.w) : bf16[1,1024,1152]  @ vpm.patch_embed",
    ]
    for i in range(26):
        before = f"v{i - 1}" if i else "v"
        lines.append(f"v{i} = gelu({before}) : bf16[1,1024,1152]  @ vpm.blocks.{i}.mlp")
    lines += [
        "resampler.query = parameter : bf16[64,2304]  @ resampler.query",
        "resampler.pos_embed = parameter : f32[64,2304]  @ resampler.pos_embed  # resampler.py:103"
        "  ? 'nn.Parameter(x.float()) in the constructor'",
        "resampler.in_proj_weight = parameter : bf16[2304,2304]  @ resampler.in_proj_weight",
        "kv = native_layer_norm(v25) : bf16[1,1024,2304]  @ resampler.ln_kv",
        "q = native_layer_norm(resampler.query) : bf16[64,2304]  @ resampler.ln_q",
        "q1 = unsqueeze(q, 1) : bf16[64,1,2304]  @ resampler",
        "wide = add.Tensor(q, resampler.pos_embed) : f32[64,2304]  @ resampler  # resampler.py:155  / add",
        "t = t(resampler.in_proj_weight) : bf16[2304,2304]  @ resampler.attn",
        "refused = addmm(wide, t) : bf16[64,2304]  @ resampler.attn  # resampler.py:158"
        f"  / multi_head_attention_forward  => bfloat16  ! {MESSAGE}",
        "a = _scaled_dot_product_attention(refused, kv) : bf16[64,2304]  @ resampler.attn",
        "p = mm(a, a) : bf16[64,2304]  @ resampler",
        "e = embedding(input_ids) : bf16[1,80,2304]  @ llm.model.embed_tokens",
        "h = index_put_(e, p) : bf16[1,80,2304]",
    ]
    for i in range(40):
        before = f"h{i - 1}" if i else "h"
        lines.append(f"s{i} = softmax({before}) : bf16[1,80,2304]  @ llm.model.layers.{i}.self_attn")
        lines.append(f"h{i} = add.Tensor({before}, {before}) : bf16[1,80,2304]  @ llm.model.layers.{i}")
    lines += ["logits = mm(h39, h39) : bf16[1,80,122753]  @ llm.lm_head", "return logits", ""]
    return "\n".join(lines)


SEED = _seed_text()
ORIGIN = Origin("parameter", "resampler.pos_embed", "float32", "resampler.py", 103, Reason("nn.Parameter(x.float())"))


def seed() -> tuple[Flow, tuple[Finding, ...]]:
    """The seed in small: a float32 table on the queries of a bfloat16 attention, 40 layers after it."""
    operands = (Operand(0, "wide", "float32", (64, 2304), (ORIGIN,)), Operand(1, "t", "bfloat16", (2304, 2304)))
    finding = Finding(
        "DT101", "mixed-product", "error", MESSAGE, "aten.addmm.default", "multi_head_attention_forward",
        "resampler.attn", "resampler.py", 158, ("refused",), operands,
    )  # fmt: skip
    note = Finding("DT301", "round-trip", "note", "cast back", "", "", "llm", "m.py", 3, ("h39",))
    return Flow.as_captured(parse_graph(SEED), Plan()), (finding, note)


def many_layers(count: int, *, faulty: bool, alike: bool = True) -> tuple[Flow, tuple[Finding, ...]]:
    """A stack of layers, each with a refused product."""
    lines = ["x = input : f32[4]  @ x", "y = input : bf16[4]  @ y"]
    for i in range(count):
        size = 4 if alike else i
        lines.append(f"n{i} = relu(x) : f32[{size}]  @ model.layers.{i}.norm")
        lines.append(f"m{i} = mm(n{i}, y) : bf16[{size}]  @ model.layers.{i}.mlp  => bfloat16  ! {MESSAGE}")
    flow = Flow.as_captured(parse_graph("\n".join(lines)), Plan())
    nodes = tuple(f"m{i}" for i in range(count))
    found = Finding("DT101", "mixed-product", "error", MESSAGE, "aten.mm.default", "", "", "m.py", 1, nodes)
    return flow, (found,) if faulty else ()


def report(flow: Flow, findings: tuple[Finding, ...]) -> Report:
    """A report around a flow."""
    graph: ModelGraph = flow.graph
    stored = [(n.op, n.name, n.outputs[0]) for n in graph.stored() if n.op in ("parameter", "buffer")]
    coverage = Coverage(sum(1 for _ in graph.ops()))
    outputs = tuple(flow.dtype(ref) for ref in graph.outputs)
    return Report(
        {"analyzer": "0"}, "m", "MiniCPMV", 9, flow.plan, coverage, take_census(stored), findings, flow, outputs
    )


def find(view: View, box_id: str) -> Box:
    """The box with an id."""
    return next(box for box in view.boxes if box.id == box_id)
