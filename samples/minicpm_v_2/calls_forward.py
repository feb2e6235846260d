"""The training script's own repair: the model is called, so that what wraps forward is around all of it."""

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location("_batch", Path(__file__).with_name("analyze_inputs.py"))
_batch = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_batch)
inputs = _batch.inputs


def run(model, inputs):
    """The same batch through the model's forward."""
    return model(**inputs)
