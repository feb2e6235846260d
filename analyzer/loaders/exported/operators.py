"""The operators that a saved program may call: those of PyTorch that compute, by name; nothing by a path."""

from __future__ import annotations

import re
from typing import Final

from analyzer.loaders.exported.refused import Refused, short

_NAME: Final = re.compile(r"torch\.ops\.(?P<space>\w+)\.(?P<name>\w+)(?:\.(?P<overload>\w+))?")
_SPACES: Final = ("aten", "prims", "quantized", "quantized_decomposed", "torchvision", "transformers")
"""Libraries of operators that compute tensors from tensors."""
_ACTING: Final = frozenset({"aten::from_file", "aten::save", "aten::_print", "aten::warn", "aten::record_stream"})
"""Those among them that read a file or act outside their result."""
_UNCHECKED: Final = re.compile(r"sparse|coalesce|nested|_[cb]s[rc]_|_unsafe$|^set_|^resize|gather_backward|_lstm_cell$")
"""Names of operators that make tensors of parts that they do not check: on real numbers they may crash."""
_PRIVATE: Final = re.compile(
    r"_(_.*__|to_copy|assert|functional|unsafe_(view|index|masked_index)|local_scalar_dense|(log_|safe_|masked_)?softmax"
    r"|scaled|flash|efficient|transformer_encoder|native|batch_norm|weight_norm|embedding_bag|cdist|pdist|euclidean"
    r"|adaptive|upsample|conj|neg_view|pack_padded|pad_packed|jagged|padded|trilinear|ctc_loss|unique|linalg|fft|prelu"
    r"|stack|cat|convolution|slow_conv|addmm|int_mm|grouped_mm|weight_int|dyn_quant|fake_quant|make_per|fused"
    r"|thnn_fused|is_all|is_any|autocast|shape_as|standard_gamma|sample_dirichlet|chunk|lu_with|logcumsumexp|sym"
    r"|cummax|cummin|histogramdd|masked_scale|nnpack|reverse|grid_sampler|segment_reduce|backward|fw_primal).*"
)
"""Operators of PyTorch's own that exports hold; the others of its own check little of what they are given."""
_HIGHER_ORDER: Final = frozenset({
    "wrap", "wrap_with_autocast", "wrap_with_set_grad_enabled", "wrap_activation_checkpoint",
    "tag_activation_checkpoint", "cond", "while_loop", "scan", "associative_scan", "map", "map_impl", "flex_attention",
    "flex_attention_backward", "strict_mode", "out_dtype", "hints_wrapper", "run_const_graph", "invoke_subgraph",
    "auto_functionalized", "auto_functionalized_v2", "with_effects", "foreach_map", "base_hop", "invoke_quant",
    "invoke_quant_packed", "inductor_compiled_code", "switch", "local_map_hop",
})  # fmt: skip
"""Operators that run graphs of the same program, which are checked as it is."""
_PLAIN: Final = {
    "_operator": frozenset({
        "eq", "ne", "le", "ge", "lt", "gt", "neg", "pos", "mul", "add", "sub", "floordiv", "mod", "pow", "truediv",
        "and_", "or_", "xor", "not_", "lshift", "rshift", "getitem", "abs", "index", "iadd", "imul", "isub",
    }),
    "math": frozenset({"trunc", "ceil", "floor", "sqrt", "log2"}),
    "torch": frozenset({
        "sym_not", "sym_int", "sym_float", "sym_ite", "sym_max", "sym_min", "sym_sqrt", "_sym_sqrt", "sym_sum",
        "sym_fresh_size", *(f"_sym_{name}" for name in ("cos", "cosh", "sin", "sinh", "tan", "tanh", "asin", "acos",
                                                        "atan", "log2")),
    }),
    "torch._C": frozenset({"_set_grad_enabled"}),
    "torch.amp.autocast_mode": frozenset({"_enter_autocast", "_exit_autocast"}),
    "torch._functorch.predispatch": frozenset({
        "_add_batch_dim", "_remove_batch_dim", "_vmap_increment_nesting", "_vmap_decrement_nesting", "_make_dual",
        "_unpack_dual", "_jvp_increment_nesting", "_jvp_decrement_nesting", "_unwrap_for_grad", "_enter_dual_level",
        "_exit_dual_level", "lazy_load_decompositions",
    }),
}  # fmt: skip
"""Functions of Python and of torch on sizes, and those that switch a mode (torch._export.verifier allows them too)."""


def registered() -> frozenset[str]:
    """Every operator that PyTorch and the libraries that are imported have: "aten::add.Tensor", "aten::relu"."""
    import torch

    return frozenset(torch._C._dispatch_get_all_op_names())


def check_operator(target: str, known: frozenset[str]) -> None:
    """Raises Refused for a name that is none of the `known` operators, or of one that does more than compute."""
    module, _, function = target.rpartition(".")
    found = _NAME.fullmatch(target)
    computes = found is not None and _computes(found["space"], found["name"], found["overload"], known)
    if function not in _PLAIN.get(module, ()) and not computes:
        raise Refused(f"a call of {short(target)}")


def _computes(space: str, name: str, overload: str | None, known: frozenset[str]) -> bool:
    if space == "higher_order":
        return name in _HIGHER_ORDER and not overload
    full = f"{space}::{name}"
    registered_as = full if overload == "default" else f"{full}.{overload}"
    private = name.startswith("_") and not _PRIVATE.fullmatch(name)
    return space in _SPACES and not (full in _ACTING or private or _UNCHECKED.search(name)) and registered_as in known
