"""Several forward passes in one trace, operation by operation against real runs of the same calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers as hf
from torch import nn

from analyzer import oracle, trace
from analyzer.capture import Loaded
from analyzer.errors import AnalyzerError
from analyzer.ir.graph import UPDATED
from analyzer.ir.plan import Plan
from analyzer.ir.steps import parse_steps
from analyzer.running.forward import capture, from_callable
from analyzer.running.session import Session, variant
from tests.capture.models import IDS, TINY, Made, llama
from tests.capture.real import bare, watched
from tests.versions import five

CPU = Plan(device="cpu")
GROUPED = {**TINY, "num_key_value_heads": 2}


def _mistral() -> Made:
    return hf.MistralForCausalLM(hf.MistralConfig(**GROUPED, sliding_window=4)), {"input_ids": IDS}


def _gemma2() -> Made:
    config = hf.Gemma2Config(**GROUPED, head_dim=8, sliding_window=4)
    return hf.Gemma2ForCausalLM(config), {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}


def _mamba() -> Made:
    config = hf.MambaConfig(hidden_size=32, state_size=4, num_hidden_layers=2, vocab_size=64)
    return hf.MambaForCausalLM(config), {"input_ids": IDS}


def _t5() -> Made:
    config = hf.T5Config(
        d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, vocab_size=64, decoder_start_token_id=0
    )
    return hf.T5ForConditionalGeneration(config), {"input_ids": IDS}


def _whisper() -> Made:
    config = hf.WhisperConfig(
        vocab_size=64, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, num_mel_bins=8, max_source_positions=50,
        max_target_positions=32, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    return hf.WhisperForConditionalGeneration(config), {"input_features": torch.ones(1, 8, 100)}


def _bare_llama() -> Made:
    return hf.LlamaModel(hf.LlamaConfig(**TINY)), {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}


class Vision(nn.Module):
    """Resizes its table of positions where an image is not as large as it was trained for."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, 4)
        self.table = nn.Parameter(torch.ones(1, 8, 4, 4))

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Patches with their positions."""
        x, table = self.patch(pixel_values), self.table
        if x.shape[-2:] != table.shape[-2:]:
            table = nn.functional.interpolate(table.float(), x.shape[-2:], mode="bicubic")
        return x + table  # type: ignore[no-any-return]


def _vision() -> Made:
    return Vision(), {"pixel_values": torch.ones(1, 3, 16, 16)}


def _real(module: nn.Module, inputs: dict[str, Any], steps: str) -> list[tuple[str, tuple[str, ...]]]:
    asked, notes = parse_steps(steps), []
    session = Session(asked, None, lambda _: None, lambda *note: notes.append(note))
    given = {one.label: variant(inputs, one) for one in asked}
    with torch.no_grad(), watched() as writer:
        session(module, given)
    return writer.seen  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("made", "steps"),
    [
        (llama, "prefill,decode,decode"),
        (llama, "prefill=static,decode"),
        (llama, "forward,length=40"),
        (_bare_llama, "prefill,decode"),
        (_mistral, "prefill,decode"),
        (_gemma2, "prefill,decode"),
        pytest.param(_gemma2, "prefill=static,decode", marks=five),  # 4.44 has another cache for it
        (_mamba, "prefill,decode"),
        (_t5, "prefill,decode"),
        (_whisper, "prefill,decode"),
        (_vision, "forward,image=32"),
    ],
)
def test_every_operation_of_every_step_is_that_of_the_real_run(made: Callable[[], Made], steps: str) -> None:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        module, inputs = made()
        asked = parse_steps(steps)
        captured = capture(Loaded(bare(module.eval()), "", "", inputs, steps=asked), CPU).whole()
        real = _real(module, inputs, steps)
    finally:
        torch.set_default_dtype(torch.float32)
    ops = [n for n in captured.graph.ops() if n.op != UPDATED and n.outputs and oracle.overload(n.op)._schema.returns]
    assert [(n.op, tuple(s.dtype for s in n.outputs)) for n in ops] == real
    assert list(captured.graph.steps) == [one.label for one in asked]
    assert "" not in {n.step for n in ops}


class Keeps(nn.Module):
    """Keeps its keys from the first call, as a memory bank does."""

    def __init__(self) -> None:
        super().__init__()
        self.key = nn.Linear(4, 4, dtype=torch.bfloat16)
        self.bank: list[torch.Tensor] = []
        self.last: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Read what the last call kept, in float32."""
        key = self.key(x)
        if self.last is not None:
            key = key @ self.last
        self.last = key.float().t()
        self.bank.append(key)
        return key  # type: ignore[no-any-return]


def test_a_second_call_finds_what_the_first_one_left_behind() -> None:
    x, module = torch.ones(4, 4, dtype=torch.bfloat16), Keeps()
    module(x)
    with pytest.raises(RuntimeError) as real:
        module(x)
    module = Keeps().to("meta")
    assert trace(module, (x,), plan=CPU).findings == ()
    report = trace(module, (x,), plan=CPU, steps="forward,forward")
    (found,) = report.findings
    assert (found.message, found.step, found.count) == (str(real.value).splitlines()[0], "forward, 2", 1)
    assert report.to_json()["findings"][0]["step"] == "forward, 2"
    assert (module.last, module.bank) == (None, [])


def test_two_training_steps_each_run_backward() -> None:
    module = nn.Linear(4, 4).to("meta")
    graph = trace(module, (torch.ones(2, 4),), plan=Plan(device="cpu", train=True), steps="forward,forward").graph
    assert {(n.phase, n.step) for n in graph.ops()} >= {("backward", "forward"), ("backward", "forward, 2")}


@five  # older ones take an unknown cache for none
def test_a_cache_that_does_not_exist_is_an_error() -> None:
    model, inputs = llama()
    with pytest.raises(AnalyzerError, match="no nonsense cache"):
        trace(bare(model), kwargs=inputs, plan=CPU, steps="prefill=nonsense,decode")


class Old(nn.Module):
    """Takes its cache as remote code of transformers 4 does, where 5 gives it back as `cache`."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(64, 4)

    def forward(self, input_ids: torch.Tensor, past_key_values: Any = None, use_cache: bool = False) -> Any:
        """Append to what was kept."""
        x = self.embed(input_ids)
        kept = torch.cat([past_key_values[0], x], 1) if past_key_values else x
        made = {"past_key_values": (kept,)} if use_cache else {}
        return hf.modeling_outputs.BaseModelOutputWithPast(last_hidden_state=kept, **made)


def test_a_cache_goes_on_under_the_name_that_the_code_takes_it_by() -> None:
    report = trace(Old().to("meta"), kwargs={"input_ids": IDS}, plan=CPU, steps="prefill,decode")
    (joined,) = [node for node in report.graph.ops() if node.op == "aten.cat.default"]
    assert (joined.step, joined.outputs[0].shape[1]) == ("decode", IDS.shape[1] + 1)
    assert "one more token with past_key_values" in str(report.coverage.assumptions)


def test_decoding_without_a_cache_is_an_error() -> None:
    with pytest.raises(AnalyzerError, match="Linear gives nothing that its next call takes"):
        trace(nn.Linear(4, 4).to("meta"), kwargs={"input": torch.ones(2, 4)}, plan=CPU, steps="prefill,decode")
    with pytest.raises(AnalyzerError, match="only be called again"):
        from_callable(torch.add, (), {}, parse_steps("prefill,decode"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("decode", "decode comes after prefill"),
        ("prefil,decode", "did you mean 'prefill'"),
        ("length", "needs a number"),
        ("image=large", "needs a number"),
        ("decode=static", "is not understood"),
        ("forward,", "unknown step ''"),
    ],
)
def test_steps_that_are_none(text: str, words: str) -> None:
    with pytest.raises(AnalyzerError, match=words):
        parse_steps(text)


def test_only_the_decoder_that_generate_calls_begins_a_step() -> None:
    peft = pytest.importorskip("peft")
    adapted = peft.get_peft_model(llama()[0], peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"]))
    decoder = hf.BertConfig(**TINY, is_decoder=True, add_cross_attention=True)
    pair = hf.EncoderDecoderModel(
        encoder=hf.BertModel(hf.BertConfig(**TINY)), decoder=hf.BertLMHeadModel(decoder)
    )  # the encoder could be taken for a decoder of its own
    pair.generation_config.decoder_start_token_id = 1
    for module in (adapted, pair):
        report = trace(bare(module.eval()), kwargs={"input_ids": IDS}, plan=CPU, steps="prefill,decode")
        assert list(report.graph.steps) == ["prefill", "decode"]
        assert report.coverage.incomplete == ""
        assert [a.what for a in report.coverage.assumptions] == ["which entries rank first"]
