"""Labels are made so that real models of many heads give a loss; a model that will not have them does without."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch
import transformers as hf

from analyzer.inputs.labels import make_labels
from analyzer.inputs.learning import learned
from analyzer.ir.plan import Plan
from analyzer.loaders import load
from analyzer.running.forward import capture
from tests.capture.models import IDS, TINY

TRAIN = Plan(device="cpu", train=True)
PIXELS = {"pixel_values": torch.ones(1, 3, 28, 28)}
VIT = {k: v for k, v in TINY.items() if k != "vocab_size"} | {"image_size": 28, "patch_size": 14}
SEG = {
    "num_encoder_blocks": 1, "depths": [1], "sr_ratios": [1], "hidden_sizes": [16], "num_attention_heads": [2],
    "strides": [4], "patch_sizes": [7], "mlp_ratios": [2], "decoder_hidden_size": 16,
}  # fmt: skip
SOUND = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "conv_dim": [8],
    "conv_kernel": [4], "conv_stride": [4], "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2,
    "tdnn_dim": [16, 16], "tdnn_kernel": [3, 1], "tdnn_dilation": [1, 1], "xvector_output_dim": 8,
    "classifier_proj_size": 8, "num_feat_extract_layers": 1, "feat_extract_norm": "layer",
}  # fmt: skip
HEADS = {
    "LlamaForCausalLM": (hf.LlamaConfig, TINY),
    "LlamaForSequenceClassification": (hf.LlamaConfig, TINY | {"pad_token_id": 0}),
    "BertForMaskedLM": (hf.BertConfig, TINY),
    "BertForPreTraining": (hf.BertConfig, TINY),
    "BertForNextSentencePrediction": (hf.BertConfig, TINY),
    "BertForSequenceClassification": (hf.BertConfig, TINY | {"num_labels": 1}),
    "RobertaForSequenceClassification": (hf.RobertaConfig, TINY | {"problem_type": "multi_label_classification"}),
    "BertForTokenClassification": (hf.BertConfig, TINY),
    "BertForQuestionAnswering": (hf.BertConfig, TINY),
    "ViTForImageClassification": (hf.ViTConfig, VIT),
    "SegformerForSemanticSegmentation": (hf.SegformerConfig, SEG),
    "GLPNForDepthEstimation": (hf.GLPNConfig, SEG | {"decoder_hidden_size": 16}),
    "Wav2Vec2ForXVector": (hf.Wav2Vec2Config, SOUND),
    "CLIPModel": (hf.CLIPConfig, {"text_config": TINY, "vision_config": VIT, "projection_dim": 16}),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADS)
def test_a_real_model_gives_a_loss(name: str) -> None:
    maker, settings = HEADS[name]
    model = getattr(hf, name)(maker(**settings))
    signature = inspect.signature(model.forward)
    given = {
        k: v
        for k, v in ({"input_ids": IDS, "input_values": torch.ones(1, 4000)} | PIXELS).items()
        if k in signature.parameters
    }
    made = make_labels(model, model.config, signature, given, torch.float32)
    assert made
    assert model(**given, **made).loss.dim() == 0


def test_a_folder_is_trained_with_its_own_loss(llama: Path) -> None:
    loaded = load(llama, TRAIN)
    assert torch.equal(loaded.inputs["labels"], loaded.inputs["input_ids"])
    assert loaded.spare == ("labels",)
    assert "input labels" in [a.what for a in loaded.assumptions]
    captured = capture(loaded, TRAIN)
    assert "aten.nll_loss_backward.default" in [n.op for n in captured.graph if n.phase == "backward"]
    assert load(llama, Plan()).spare == ()


def test_labels_that_are_too_short_are_made_as_long_as_the_outputs(own: Path) -> None:
    file = own / "modeling_own.py"
    code = file.read_text().replace("forward(self, input_ids)", "forward(self, input_ids, labels=None)")
    loss = "nn.functional.cross_entropy(torch.cat([made, made], 1).flatten(0, 1), labels.flatten())"
    code = code.replace(
        "return self.proj", f"made = self.proj(self.embed(input_ids)).float()\n        return {loss}\n#"
    )
    file.write_text(code)
    taught, captured = learned(load(own, TRAIN, trust_remote_code=True), TRAIN)
    assert captured.stop is None and taught.spare == ("labels",)
    assert taught.inputs["labels"].shape == (1, 2 * taught.inputs["input_ids"].shape[1])
    assert not [a for a in captured.coverage.assumptions if a.what == "the loss"]


def test_labels_that_do_not_fit_give_way_to_the_mean(own: Path) -> None:
    file = own / "modeling_own.py"
    code = file.read_text().replace("forward(self, input_ids)", "forward(self, input_ids, labels=None)")
    file.write_text(code.replace("return self.proj", "assert labels is None, 'not these'\n        return self.proj"))
    captured = capture(load(own, TRAIN, trust_remote_code=True), TRAIN)
    assert [n for n in captured.graph if n.phase == "backward"]
    (note,) = [a for a in captured.coverage.assumptions if a.what == "the loss"]
    assert "the mean of the outputs" in note.value


def test_the_runs_own_training_step_needs_no_labels(llama: Path, tmp_path: Path) -> None:
    file = tmp_path / "step.py"
    file.write_text(
        "import torch\n"
        "def inputs(config):\n    return {'input_ids': torch.ones(1, 4, dtype=torch.long)}\n"
        "def run(model, inputs):\n"
        "    model.gradient_checkpointing_enable()\n"
        "    optimizer = torch.optim.AdamW(model.parameters())\n"
        "    model(**inputs, labels=inputs['input_ids']).loss.backward()\n"
        "    optimizer.step()\n"
    )
    graph = capture(load(llama, TRAIN, inputs_file=file), TRAIN).graph
    assert {n.phase for n in graph} == {"", "backward", "recompute"}
    assert [n for n in graph if n.op == "aten.addcdiv_.default"]
