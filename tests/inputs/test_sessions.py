"""Models that follow objects through a video get a session; it is one that the real model takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers as hf

from analyzer.ir.plan import Plan
from analyzer.loaders import load
from analyzer.running.forward import capture
from analyzer.running.output_tensors import leaves


@pytest.mark.skipif(not hasattr(hf, "Sam2VideoModel"), reason="a type of later versions")
def test_an_object_is_marked_in_a_session_as_the_real_model_takes_it(tmp_path: Path) -> None:
    config = hf.Sam2VideoConfig(image_size=256, memory_attention_num_layers=1)
    config.vision_config.backbone_config.image_size = [256, 256]
    config.vision_config.backbone_feature_sizes = [[64, 64], [32, 32], [16, 16]]
    config.prompt_encoder_config.image_size = 256
    settings = {**config.to_dict(), "architectures": ["Sam2VideoModel"]}
    (tmp_path / "config.json").write_text(json.dumps(settings, default=str))
    loaded = load(tmp_path, Plan(dtype="float32"))
    assert loaded.run is not None and sorted(loaded.inputs) == ["frame", "input_labels", "input_points"]
    captured = capture(loaded, Plan(device="cpu", dtype="float32"))
    assert captured.stop is None and captured.coverage.ops > 1000
    real = list(leaves(loaded.run(hf.Sam2VideoModel(config).eval(), loaded.inputs)))
    specs = [captured.graph.spec(ref) for ref in captured.graph.outputs]
    assert [(spec.dtype, spec.shape) for spec in specs] == [(str(t.dtype)[6:], tuple(t.shape)) for t in real]


def test_no_session_where_none_is_asked_for(llama: Path) -> None:
    loaded = load(llama, Plan())
    assert loaded.run is None and isinstance(loaded.inputs["input_ids"], torch.Tensor)
