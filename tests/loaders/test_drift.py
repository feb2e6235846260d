"""What changed between releases is told as that, with the release of config.json; the model's own faults are not."""

from __future__ import annotations

from pathlib import Path

import pytest
import transformers

from analyzer.actions.trace import run_trace
from analyzer.errors import AnalyzerError
from analyzer.loaders.remote_code.drift import Drift
from analyzer.loaders.remote_code.origin import Origin
from analyzer.loaders.request import ModelRequest
from analyzer.loaders.versions.old_names.history import GoneError, past
from tests.loaders.remote import Code, five

NOW = transformers.__version__
SAYS = {"transformers_version": "4.44.2"}
COMMAND = ("analyze", "trace", "own model", "--trust-remote-code")
AGAIN = "config.json names 4.44.2: analyze trace 'own model' --trust-remote-code --with transformers==4.44.2"
OWN = ("raised by the model's own code", "the model's own error")
ACTIVATION = "from transformers.activations import get_activation"
CACHE = "from transformers import DynamicCache"


def _told(code: Code, folder: Path, **known: object) -> str:
    """What a trace of the code says on why it stopped."""
    request = ModelRequest(code.write(folder), trust_remote_code=True, origin=Origin({}, COMMAND, **known))  # type: ignore[arg-type]
    try:
        return run_trace(request).coverage.incomplete
    except AnalyzerError as error:
        return str(error)


@pytest.mark.parametrize(
    ("code", "what"),
    [
        (Code("from transformers.utils import no_such_name"), "has no transformers.utils.no_such_name"),
        (Code("import transformers.models.gone.modeling_gone"), "has no transformers.models.gone"),
        (Code("import transformers", init="transformers.cache_utils.gone"), "has no transformers.cache_utils.gone"),
        (Code(CACHE, forward="DynamicCache().gone_tokens"), "has no DynamicCache.gone_tokens"),
        (Code(CACHE, forward="DynamicCache(gone=1)"), "takes other arguments for DynamicCache.__init__"),
        (Code(CACHE, forward="cache = DynamicCache()\ncache()"), "has another DynamicCache"),
        (Code(ACTIVATION, init="get_activation('gone')"), "raises it in its own code"),
        (Code(body="def init_weights(self, gone): 1"), "calls OwnModel.init_weights with arguments that it does not"),
        (
            Code("from transformers.activations import ACT2CLS", init="ACT2CLS['gone']"),
            "has no 'gone' in ACT2CLS",
        ),
    ],
)  # fmt: skip
def test_drift_is_told_with_the_release_of_the_config_and_a_command(code: Code, what: str, tmp_path: Path) -> None:
    said = _told(Code(code.imports, code.body, code.init, code.forward, SAYS, code.files), tmp_path)
    assert f"transformers {NOW} {what}" in said and said.endswith(f"{AGAIN})") and not any(own in said for own in OWN)


@five
@pytest.mark.parametrize(
    ("code", "had"),
    [
        (Code("from transformers.modeling_utils import TORCH_INIT_FUNCTIONS"), "4.57"),
        (Code(forward="self.prune_heads"), "4.57"),
    ],
)
def test_the_last_release_that_had_it_is_named_where_the_config_names_none(
    code: Code, had: str, tmp_path: Path
) -> None:
    said = _told(code, tmp_path)
    assert f"{had} had it" in said
    assert said.endswith(f"analyze trace 'own model' --trust-remote-code --with 'transformers=={had}.*')")


@pytest.mark.parametrize(
    "code",
    [
        Code(init='raise ValueError("mine")'),
        Code(forward='raise ValueError("mine")'),
        Code(forward="x.gone"),
        Code(forward="self.later", init="if config.width < 0:\n    self.later = 1"),
        Code(body="def help(self): pass", forward="self.help(1)"),
        Code(forward="gone(x)"),
        Code(forward="None.shape"),
        Code(forward="{}['gone']"),
        Code(forward="x = torch.cat([x, x[0]])"),
        Code(init="nn.Linear(config.width)"),
    ],
)
def test_the_models_own_faults_are_no_drift(code: Code, tmp_path: Path) -> None:
    said = _told(Code(code.imports, code.body, code.init, code.forward, SAYS), tmp_path)
    assert any(own in said for own in OWN) and "--with" not in said


@pytest.mark.parametrize("kind", ["self", "config"])
def test_what_no_release_is_known_to_have_had_is_said_to_be_missing_and_no_release_is_promised(
    kind: str, tmp_path: Path
) -> None:
    said = _told(Code(forward=f"{kind.replace('config', 'self.config')}.no_such_member", config=SAYS), tmp_path)
    assert said.endswith(".no_such_member, and neither the code nor config.json sets it)")


@pytest.mark.parametrize(
    ("release", "had", "end"),
    [
        ("4.44.2", "", "config.json names 4.44.2: analyze trace m --with transformers==4.44.2"),
        ("4.48.0.dev0", "", "config.json names 4.48.0.dev0: analyze trace m --with 'transformers==4.48.*'"),
        ("4.31.0", "", "4.36.2 is the oldest that analyze runs with: analyze trace m --with transformers==4.36.2"),
        ("4.51.0", "4.44", "4.44 had it; analyze trace m --with 'transformers==4.44.*'"),
        ("4.44.2", "4.57", "config.json names 4.44.2: analyze trace m --with transformers==4.44.2"),
        (NOW, "", "; config.json names this very release"),
        ("", "", "config.json names no release: --with 'transformers==RELEASE' traces with another one"),
        ("$(touch x)", "", "config.json names no release: --with 'transformers==RELEASE' traces with another one"),
        ("", "4.33", "4.33 had it; analyze runs with 4.36.2 and later"),
    ],
)  # fmt: skip
def test_which_release_is_named(release: str, had: str, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Drift("transformers", "has no x", had)
    monkeypatch.setattr("analyzer.loaders.remote_code.origin.drift_of", lambda _: found)
    origin = Origin({"transformers_version": release} if release else {}, ("analyze", "trace", "m"))
    assert origin.explained(KeyError("x"), ()).endswith(end)


def test_an_environment_beside_that_has_the_release_is_named_instead(tmp_path: Path) -> None:
    beside = {"beside": ".venv/bin/python", "beside_has": {"transformers": "4.44.0", "gone_pkg": ""}}
    said = _told(Code(CACHE, forward="DynamicCache().gone", config=SAYS), tmp_path, **beside)
    assert said.endswith("analyze trace 'own model' --trust-remote-code --python .venv/bin/python)")
    (tmp_path / "missing").mkdir()
    said = _told(Code("import gone_pkg"), tmp_path / "missing", **beside)
    assert said.endswith(", or --python .venv/bin/python, which has it)")


def test_a_long_command_is_left_to_the_reader() -> None:
    origin = Origin(SAYS, ("analyze", "trace", "m" * 200))
    assert origin.explained(GoneError("x", "4.44", hint=""), ()).endswith(
        "the same command with --with transformers==4.44.2"
    )


def test_members_of_the_past_are_known() -> None:
    known = past("transformers.cache_utils", "DynamicCache.key_cache")
    assert known is not None and known.release.startswith("4.")
    assert past("transformers.cache_utils", "DynamicCache.update") is None
