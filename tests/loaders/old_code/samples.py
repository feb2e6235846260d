"""The remote codes that `samples.md` holds, by name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from tests.loaders.remote import Code

_SAMPLE: Final = re.compile(r"^## (\w+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_BLOCK: Final = re.compile(r"^```\w+ ([\w.]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _read() -> dict[str, Code]:
    text = Path(__file__).with_name("samples.md").read_text(encoding="utf-8")
    return {
        name: _code(dict(_BLOCK.findall(body)))
        for name, body in re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    }


def _code(blocks: dict[str, str]) -> Code:
    parts = {name: blocks[name].rstrip("\n") for name in ("imports", "init", "forward") if name in blocks}
    files = {name: text for name, text in blocks.items() if name.endswith(".py")}
    body = blocks.get("body", "").rstrip("\n").replace("\n", "\n    ")
    return Code(**parts, body=body, config=json.loads(blocks.get("config", "{}")), files=files)


SAMPLES: Final = _read()
