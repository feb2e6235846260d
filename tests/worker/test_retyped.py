"""The command line that makes a request again is read as that request."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from analyzer.cli.options import Asked, plan_options
from analyzer.worker.protocol import TraceRequest
from analyzer.worker.retyped import retyped


@click.command()
@plan_options
@click.option("--debug", is_flag=True)
def command(asked: Asked) -> Asked:
    """What is asked."""
    return asked


def _asked(words: tuple[str, ...]) -> TraceRequest:
    asked = command.main(list(words), standalone_mode=False)
    assert isinstance(asked, Asked)
    return asked.request


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--trust-remote-code", "--stub", "timm,einops", "--python", "p", "--with", "timm==1.0", "--with", "a>=2"),
        ("--dtype", "bf16", "--to", "f32", "--set", "a.*=f32", "--set", "b=bf16", "--input-dtype", "x=f32"),
        ("--device", "cpu", "--train", "--autocast", "cpu:bf16", "--scope", "run", "--steps", "prefill,decode"),
        ("--adapter", "ADAPTER", "--no-autocast-adapter-dtype", "--inputs", "FILE", "--plan", "FILE"),
        ("--recipe", "FILE", "--recipe", "FILE", "--stage", "train", "--twice"),
    ],
)
def test_what_is_retyped_asks_for_the_same(words: tuple[str, ...], tmp_path: Path) -> None:
    model, file = tmp_path / "a model's folder", tmp_path / "file.py"
    model.mkdir()
    file.touch()
    given = tuple({"ADAPTER": str(model), "FILE": str(file)}.get(word, word) for word in words)
    request = _asked((str(model), *given))
    assert retyped(request)[:3] == ("analyze", "trace", str(model))
    assert _asked(retyped(request)[2:]) == request


def test_a_release_of_transformers_is_left_out_for_another_takes_its_place(tmp_path: Path) -> None:
    asked = command.main([str(tmp_path), "--with", "transformers==4.40.0", "--with", "timm"], standalone_mode=False)
    assert retyped(asked.request)[3:] == ("--with", "timm")
    assert asked.workers.packages == ("transformers==4.40.0", "timm")
