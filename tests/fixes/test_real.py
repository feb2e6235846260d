"""Every proposal that `analyze fix` tries does to the real model, with weights, what the trial says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixes.folders import BASE, Own, really, said, trials, under, weigh
from tests.versions import copies

TWO_FAULTS = Own(
    init="""
self.table = nn.Parameter(torch.ones(8, dtype=torch.float32))
self.first, self.second, self.third = (nn.Linear(8, 8) for _ in range(3))
""",
    forward="""
x = self.first(x + self.table) + self.second(x * self.table)
scale = torch.full((8,), 0.5, dtype=torch.float32)
return self.third(x * scale) + self.third(x - scale)
""",
)
MODELS = {
    "two faults": TWO_FAULTS,
    "a function of plain names": Own(
        init="self.w = nn.Parameter(torch.ones(8, 8, dtype=torch.float32))",
        forward="""
y = x * 2
return F.linear(y, self.w)
""",
    ),
    "a list": Own(
        init="self.out = nn.Linear(8, 8)",
        forward="""
a, b = x, x.float()
both = torch.cat([a, b], dim=1)
return self.out(both)
""",
    ),
    "matmul, in place and with keywords": Own(
        init="self.w = nn.Parameter(torch.ones(8, 8, dtype=torch.float32)); self.norm = nn.LayerNorm(8)",
        forward="""
w = self.w
a = torch.matmul(x, w)
x @= w
return torch.addmm(input=self.norm.bias, mat1=x[0], mat2=w) + a[0]
""",
    ),
    "in place": Own(
        init="self.w = nn.Parameter(torch.ones(8, 8, dtype=torch.float32)); self.fc = nn.Linear(8, 8)",
        forward="""
y = self.fc(x)
y @= self.w
return self.fc(y)
""",
    ),
    "a module of several arguments": Own(
        init="""
self.pos = nn.Parameter(torch.ones(3, 8, dtype=torch.float32))
self.attn = nn.MultiheadAttention(8, 2, batch_first=True)
""",
        forward="""
q = x + self.pos
return self.attn(q, x, x, need_weights=False)[0]
""",
    ),
    "a library's model": Own(
        init="""
self.pos = nn.Parameter(torch.ones(3, 8, dtype=torch.float32))
self.llm = LlamaModel(LlamaConfig(hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2,
                                  num_key_value_heads=2, vocab_size=8))
""",
        forward="""
y = x + self.pos
return self.llm(inputs_embeds=y).last_hidden_state
""",
    ),
    "an input": Own(init="self.fc = nn.Linear(8, 8)", forward="return self.fc(x)", x="float32"),
    "a component": Own(
        before="""
class Part(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.ones(8, 8, dtype=torch.float32))
        self.b = nn.Parameter(torch.ones(8, 8, dtype=torch.float32))
    def forward(self, x):
        return F.linear(F.linear(x, self.a), self.b)
""",
        init="self.part, self.one, self.two = Part(), nn.Linear(8, 8), nn.Linear(8, 8)",
        forward="return self.two(self.part(self.one(x)))",
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_each_trial_is_what_really_happens(name: str, tmp_path: Path) -> None:
    folder = MODELS[name].write(tmp_path / "m")
    tried = trials(folder)
    weigh(folder)
    assert said(folder, BASE) == really(folder, BASE)
    for number, trial in enumerate(tried):
        if trial.ran:
            copy, plan = under(trial.proposal, folder, tmp_path / str(number)), trial.proposal.plan(BASE)
            real = really(copy, plan)
            assert said(copy, plan) == real, trial.proposal.what
            assert trial.clears == (" " not in "".join(real)), trial.proposal.what


@copies
def test_a_cut_of_a_tensor_and_a_line_is_smaller_than_any_cast_of_one_kind(tmp_path: Path) -> None:
    tried = trials(TWO_FAULTS.write(tmp_path / "m"))
    (cut,) = [trial for trial in tried if trial.proposal.kind == "cut"]
    assert (cut.clears, cut.places) == (True, 2)
    assert cut.proposal.change == {"set": {"table": "bfloat16"}}
    assert len(cut.proposal.edits) == 1
    casts = [trial for trial in tried if trial.proposal.kind not in ("cut", "autocast")]
    assert {trial.proposal.kind for trial in casts} >= {"stored", "source", "model"}
    assert all(not trial.clears or trial.places > cut.places for trial in casts)


@copies
def test_the_kinds_of_set_up_that_were_run_for_real(tmp_path: Path) -> None:
    kinds = {
        trial.proposal.kind
        for name, own in MODELS.items() if name in ("two faults", "an input", "a component")
        for trial in trials(own.write(tmp_path / name.replace(" ", "_"))) if trial.clears
    }  # fmt: skip
    assert kinds >= {"autocast", "component", "cut", "input", "model", "source", "stored"}


@copies
@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("a function of plain names", "return F.linear(y.to(self.w.dtype), self.w)"),
        ("a list", "both = torch.cat([a, b.to(a.dtype)], dim=1)"),
        ("matmul, in place and with keywords", "a = torch.matmul(x.to(w.dtype), w)"),
        ("in place", "y @= self.w.to(y.dtype)"),
        (
            "a module of several arguments",
            "return self.attn(q.to(self.attn.in_proj_weight.dtype), x, x, need_weights=False)[0]",
        ),
        (
            "a library's model",
            "return self.llm(inputs_embeds=y.to(self.llm.embed_tokens.weight.dtype)).last_hidden_state",
        ),
    ],
)
def test_the_line_that_is_proposed_casts_the_odd_operand_alone(name: str, line: str, tmp_path: Path) -> None:
    texts = [edit.after for trial in trials(MODELS[name].write(tmp_path)) for edit in trial.proposal.edits]
    assert any(f"\n        {line}\n" in text for text in texts)
