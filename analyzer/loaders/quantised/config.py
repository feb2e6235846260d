"""Reads how a model folder says that its checkpoint is quantised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from analyzer.errors import AnalyzerError
from analyzer.ir.findings import Assumption
from analyzer.loaders.files.json_files import read_settings
from analyzer.loaders.quantised.schemes import SCHEMES, UNKNOWN, Scheme, variant

_MODELOPT: Final = "hf_quant_config.json"
_DENSE: Final = Scheme(names=SCHEMES["fp8"].names)


@dataclass(frozen=True, slots=True)
class Quantisation:
    """How a checkpoint is quantised, and what of that is not traced exactly."""

    method: str = ""
    scheme: Scheme | None = None
    """None: transformers loads it as if it were not quantised, or there is no quantisation."""
    settings: dict[str, Any] = field(default_factory=dict)
    notes: tuple[Assumption, ...] = ()


def read(root: Path, settings: Mapping[str, object], device: str) -> Quantisation:
    """The quantisation of the model in a folder, as the installed transformers takes it; `settings` is config.json.

    Raises AnalyzerError if its config is no JSON object.
    """
    found = _config(settings)
    if found is None:
        return _modelopt(root)
    if not isinstance(found, dict):
        raise AnalyzerError(f"{root / 'config.json'}: quantization_config is not an object", hint="correct config.json")
    method = found.get("quant_method")
    if method is None and not (found.get("load_in_4bit") or found.get("load_in_8bit")):
        what = "quantization_config has no quant_method"
        return Quantisation(notes=(_note(what, "from_pretrained raises a ValueError; traced as if not quantized"),))
    row = variant(str(method), found, device)
    if row not in SCHEMES and method not in _known():
        return Quantisation(
            notes=(_note(f"quant_method '{method}'", "unknown to transformers, which loads as if not quantized"),)
        )
    if _dequantised(row, found, device):
        why = "dequantised when loading" + (", as without a GPU" if device == "cpu" else ", as the config asks")
        return Quantisation(str(method), _DENSE, found, (_note(f"quant_method '{method}'", why),))
    scheme = SCHEMES.get(row, UNKNOWN)
    notes = (_note(f"quant_method '{method}'", f"{scheme.near}{_from(scheme)}"),) if scheme.near else ()
    return Quantisation(row, scheme, found, notes)


def _config(settings: Mapping[str, object]) -> Any:
    """Of the whole model, else of its text part; older compressed-tensors files have another name for it."""
    for holder in (settings, settings.get("text_config")):
        if isinstance(holder, dict):
            for key in ("quantization_config", "compression_config"):
                if holder.get(key) is not None:
                    return holder[key]
    return None


def _modelopt(root: Path) -> Quantisation:
    file = root / _MODELOPT
    if not file.is_file():
        return Quantisation()
    try:
        said = read_settings(file)["quantization"]["quant_algo"]
    except (AnalyzerError, KeyError, TypeError):
        said = "some"
    note = Assumption(
        f"{_MODELOPT} says {said}", "transformers does not read that file: traced as if not quantized", _MODELOPT
    )
    return Quantisation(notes=(note,))


def _known() -> frozenset[str]:
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING

    return frozenset(AUTO_QUANTIZATION_CONFIG_MAPPING)


def _dequantised(row: str, settings: Mapping[str, object], device: str) -> bool:
    asked = bool(settings.get("dequantize")) or settings.get("run_compressed") is False
    return (row in ("fp8", "mxfp4", "compressed-tensors") and asked) or (row == "fp8" and device == "cpu")


def _note(what: str, value: str) -> Assumption:
    return Assumption(what, value, "config.json")


def _from(scheme: Scheme) -> str:
    return f" ({scheme.source})" if scheme.source else ""
