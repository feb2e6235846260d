"""Times a capture beside a bare fake forward, torch.export, DebugMode and torchview, in one run, as ratios.

    python bench/capture.py [LAYERS]

CPU seconds of the best of three, in turn, on a Llama-7B-shaped decoder in bfloat16 and on the sample.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import LlamaConfig, LlamaForCausalLM

from analyzer.capture import Loaded
from analyzer.ir.plan import Plan
from analyzer.loaders import load
from analyzer.propagate import propagate
from analyzer.running.forward import capture

ROUNDS = 3
SAMPLE = Path(__file__).parents[1] / "samples" / "minicpm_v_2_fixed"


def main() -> None:
    """Print, for a Llama and for the sample, one row a contender: seconds, and the ratio of our capture to it."""
    layers = int(sys.argv[1]) if len(sys.argv) > 1 else 32
    model, ids = _llama(layers)
    llama = Loaded(model, "LlamaForCausalLM", "", {"input_ids": ids, "use_cache": False})
    _compare(f"Llama, {layers} layers", llama, {"torchview": lambda: _torchview(model, ids)})
    _compare("the sample, clean variant", load(SAMPLE, Plan(), trust_remote_code=True), {})


def _compare(title: str, loaded: Loaded, others: dict[str, Callable[[], Any]]) -> None:
    model, inputs = loaded.module, loaded.inputs
    contenders: dict[str, Callable[[], Any]] = {
        "our capture": lambda: capture(loaded, Plan()),
        "bare fake forward": lambda: _fake(model, inputs),
        "DebugMode": lambda: _debug_mode(model, inputs),
        "torch.export": lambda: _export(model, inputs),
        **others,
    }
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(ROUNDS):
        for name, run in contenders.items():
            start = time.process_time()
            try:
                run()
            except Exception as error:
                print(f"{name}: {type(error).__name__}: {str(error).splitlines()[0]}", file=sys.stderr)
                continue
            best[name] = min(best[name], time.process_time() - start)
    graph = capture(loaded, Plan()).graph
    start = time.process_time()
    propagate(graph, Plan())
    best["propagate"] = time.process_time() - start
    print(f"{title}: {len(graph)} nodes")
    for name, seconds in best.items():
        print(f"  {name:20} {seconds:8.3f} s   ours/this {best['our capture'] / seconds:6.2f}")


def _llama(layers: int) -> tuple[LlamaForCausalLM, torch.Tensor]:
    config = LlamaConfig(num_hidden_layers=layers, hidden_size=4096, intermediate_size=11008, num_attention_heads=32)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("meta"):
        model = LlamaForCausalLM(config).eval()
    torch.set_default_dtype(torch.float32)
    return model, torch.arange(16)[None]


def _fake_model(model: Any, mode: FakeTensorMode) -> dict[str, torch.Tensor]:
    with mode:
        named = [*model.named_parameters(), *model.named_buffers()]
        return {k: torch.empty(v.shape, dtype=v.dtype) for k, v in named}


def _fake(model: Any, inputs: dict[str, Any]) -> None:
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    state = _fake_model(model, mode)
    with mode, torch.no_grad():
        torch.func.functional_call(model, state, (), _faked(inputs, mode))


def _debug_mode(model: Any, inputs: dict[str, Any]) -> None:
    from torch.utils._debug_mode import DebugMode

    mode = FakeTensorMode(allow_non_fake_inputs=True)
    state = _fake_model(model, mode)
    with mode, torch.no_grad(), DebugMode():
        torch.func.functional_call(model, state, (), _faked(inputs, mode))


def _faked(inputs: dict[str, Any], mode: FakeTensorMode) -> Any:
    """Float inputs fake; integers stay, as code reads their values."""

    def fake(leaf: Any) -> Any:
        return mode.from_tensor(leaf) if isinstance(leaf, torch.Tensor) and leaf.is_floating_point() else leaf

    return torch.utils._pytree.tree_map(fake, inputs)


def _torchview(model: Any, ids: torch.Tensor) -> None:
    from torchview import draw_graph

    hidden = model.config.hidden_size
    embeds = torch.empty(1, 16, hidden, device="meta", dtype=torch.bfloat16)
    mask = torch.empty(1, 1, 16, 16, device="meta", dtype=torch.bfloat16)
    positions = torch.empty(1, 16, device="meta", dtype=torch.long)
    given = {"inputs_embeds": embeds, "attention_mask": mask, "position_ids": positions, "use_cache": False}
    draw_graph(model, input_data=given, device="meta", depth=10)


def _export(model: Any, inputs: dict[str, Any]) -> None:
    on_meta = torch.utils._pytree.tree_map(lambda x: x.to("meta") if isinstance(x, torch.Tensor) else x, inputs)
    with torch.no_grad():
        torch.export.export(model, (), on_meta, strict=False)


if __name__ == "__main__":
    main()
