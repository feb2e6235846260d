"""Recipes become plans: every kind, merging as a law, files that recipes name, plan files, and what is refused."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer import plans
from analyzer.cli import main
from analyzer.errors import AnalyzerError
from analyzer.ir.plan import EVALUATE, TRAIN, Engine, Plan, Training, Wrap
from analyzer.plans.facts import Facts
from analyzer.plans.typed_changes import read_asked

SAMPLES = Path(__file__).parents[2] / "samples" / "recipes"
REAL = Path(__file__).parents[3] / "shared" / "recipes"
_FACTS = st.builds(Facts, st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3)), st.just(()), st.just(()))


def _made(tmp_path: Path, *texts: str, **flags: object) -> tuple[Plan, ...]:
    files = [tmp_path / f"{number}.yaml" for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    return plans.make(flags, files)


@given(_FACTS, _FACTS, _FACTS)
def test_merging_is_a_law(a: Facts, b: Facts, c: Facts) -> None:
    assert a.then(b).then(c) == a.then(b.then(c))
    assert a.then(Facts()) == a == Facts().then(a)
    assert {**a.then(b).values, **b.values} == a.then(b).values
    if not set(a.values) & set(b.values):
        assert a.then(b) == b.then(a)


def test_the_samples() -> None:
    train, evaluate = plans.make({}, [SAMPLES / "seed.yaml"])
    assert (train.stage, train.train, train.autocast) == (TRAIN, True, "cuda:bfloat16")
    assert (evaluate.stage, evaluate.train, evaluate.autocast) == (EVALUATE, False, "cuda:bfloat16")
    assert train.training == Training(mixed_precision="bf16", optimizer="adamw_torch", learning_rate=1e-6)
    assert plans.make({}, [SAMPLES / "seed_full_eval.yaml"], stage="eval")[0].to == "bfloat16"
    train, _ = plans.make({}, [SAMPLES / "seed_zero2.yaml"])
    assert train.read == ("seed_zero2.yaml", "zero2.json")
    assert (train.autocast, train.inputs_to) == (None, "bfloat16")
    assert train.training is not None and train.training.deepspeed == Engine(stage=2, dtype="bfloat16")
    (fsdp,) = plans.make({}, [SAMPLES / "accelerate_fsdp.yaml"])
    assert fsdp.autocast == "cuda:bfloat16" and fsdp.training is not None
    assert fsdp.training.fsdp == Wrap(param_dtype="bfloat16", reduce_dtype="bfloat16", buffer_dtype="bfloat16")
    (zero3,) = plans.make({}, [SAMPLES / "zero3_fp16.json"])
    assert zero3.training is not None and not zero3.training.scaler
    assert zero3.training.deepspeed == Engine(3, "float16", communication_dtype="float32")


def test_later_files_and_then_flags_win(tmp_path: Path) -> None:
    assert _made(tmp_path, "bf16: true\n", "bf16: no\nfp16: 'True'\n")[0].autocast == "cuda:float16"
    assert _made(tmp_path, "bf16: true\nfp16:\n", autocast="cuda:float16")[0].autocast == "cuda:float16"
    launcher = "distributed_type: 'NO'\nmixed_precision: bf16\n"
    assert _made(tmp_path, launcher, "bf16: false\n")[0].autocast == "cuda:bfloat16"  # as the environment does
    train, evaluate = _made(tmp_path, "bf16: true\n", train=True, device="cpu")
    assert (train.train, evaluate.train, train.autocast) == (True, False, "cpu:bfloat16")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bf16: maybe\n", "neither true nor false"),
        ("mixed_precision: fp4\ndistributed_type: 'NO'\n", "no mixed_precision 'fp4'"),
        ("model_type: llama\nvocab_size: 3\n", "a model's config, not a recipe"),
        ("colour: red\n", "no recipe that is known here"),
        ("a: [\n", "broken YAML"),
        ('{"bf16": true,}', "broken JSON"),
        ("bf16: true\ndeepspeed: {fp16: {enabled: true}}\n", "which the Trainer refuses"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(AnalyzerError, match=said):
        _made(tmp_path, text)


def test_unknown_keys_and_missing_files_are_named_in_the_notes(tmp_path: Path) -> None:
    notes = _made(tmp_path, "bf16: true\nbfloat: true\nlearning_rate: 1\ndeepspeed: gone.json\n")[0].notes
    assert notes == (
        "0.yaml: unknown key 'bfloat': no effect",
        "0.yaml: names gone.json, which is not there: its own dtypes are unknown",
    )


def test_a_pickle_cannot_run_anything(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (ran,))

    file = tmp_path / "training_args.bin"
    file.write_bytes(pickle.dumps({"bf16": True, "evil": Evil()}))
    assert plans.make({}, [file])[0].autocast == "cuda:bfloat16"
    assert not ran.exists()
    pickle.loads(file.read_bytes())
    assert ran.exists()


def test_a_plan_file_comes_back_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    for made in (
        (Plan(set={"vpm.*": "float32"}, to="bfloat16", device="cpu"),),
        plans.make({}, [SAMPLES / "seed_zero2.yaml"]),
        plans.make({}, [SAMPLES / "accelerate_fsdp.yaml"]),
    ):
        file.write_bytes(plans.dump(made))
        assert plans.make({}, plan_file=file) == made
    file.write_text(json.dumps({"autocasts": "cuda:bfloat16"}))
    with pytest.raises(AnalyzerError, match="did you mean 'autocast'"):
        plans.make({}, plan_file=file)
    file.write_text(json.dumps({"train": "yes"}))
    with pytest.raises(AnalyzerError, match="does not fit"):
        plans.make({}, plan_file=file)


def test_a_key_of_a_recipe_can_be_tried() -> None:
    stages = plans.make({}, [SAMPLES / "seed.yaml"])
    asked = read_asked("recipe.bf16_full_eval=true", lambda keys: plans.make({}, [SAMPLES / "seed.yaml"], tried=keys))
    assert [asked.plan(plan).to for plan in stages] == [None, "bfloat16"]
    assert read_asked("recipe.bf16=false").impossible
    with pytest.raises(AnalyzerError, match="unknown key 'bf17'"):
        plans.make({}, [SAMPLES / "seed.yaml"], tried={"bf17": "true", "bf16": "true", "fp16": "false"})


def test_a_missing_stage_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    sample = SAMPLES.parent / "minicpm_v_2"
    assert main(["trace", str(sample), "--recipe", str(SAMPLES / "accelerate_fsdp.yaml"), "--stage", "eval"]) == 2
    assert "no stage 'eval'" in capsys.readouterr().err


@pytest.mark.skipif(not REAL.is_dir(), reason="the collection of real recipes is not here")
def test_every_real_recipe_is_read() -> None:
    files = sorted(file for file in REAL.rglob("*") if file.is_file())
    refused = {}
    for file in files:
        try:
            assert plans.make({}, [file])
        except AnalyzerError as error:
            refused[file.parent.name] = str(error)
    assert set(refused) <= {"flame-model-configs", "neuronx-distributed"}
    assert all("a model's config" in error for error in refused.values())
    bad = REAL / "accelerate-tests" / "invalid_keys.yaml"
    assert [note.split("'")[1] for note in plans.make({}, [bad])[0].notes] == ["invalid_key", "another_invalid_key"]


def test_under_the_launcher_a_section_that_deepspeed_lacks_is_made(tmp_path: Path) -> None:
    (tmp_path / "ds.json").write_text('{"zero_optimization": {"stage": 3}}')
    text = "distributed_type: DEEPSPEED\nmixed_precision: bf16\ndeepspeed_config: {deepspeed_config_file: ds.json}\n"
    (plan,) = _made(tmp_path, text)
    assert plan.training is not None and plan.training.deepspeed == Engine(3, "bfloat16")
    assert plan.autocast is None


@pytest.mark.parametrize("key", ["bf_16", "bf17", "learning_rat"])
def test_a_mistyped_key_that_is_tried_is_refused_and_not_passed_over(key: str) -> None:
    with pytest.raises(AnalyzerError, match=f"unknown key '{key}'"):
        plans.make({}, [SAMPLES / "seed.yaml"], tried={key: "true"})
