"""Stand-ins that are faithful, beside the packages that they stand for: the same operations, dtypes and strides."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from analyzer.loaders.remote_code.environment import environment
from analyzer.loaders.stubs.faithful import axis_patterns, kernels, small_packages, timm, timm_vision, torchvision
from analyzer.loaders.stubs.faithful import einops as ours
from analyzer.loaders.stubs.faithful import torchvision_functional as functional
from tests.coverage.beside import BESIDE

einops = pytest.importorskip("einops")
needs_apart = pytest.mark.skipif(not BESIDE.is_dir(), reason="no packages apart: make installs them")


class Operations(TorchDispatchMode):
    """The operations that are called, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.called: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.called.append(str(func))
        return func(*args, **(kwargs or {}))


def told(run: Any) -> tuple[object, ...]:
    """What a call gives: values, dtype, shape, strides, and the operations on the way; of a refusal its kind."""
    with Operations() as operations:
        try:
            made = run()
        except Exception as error:
            return (type(error).__name__,)
    parts = made if isinstance(made, (list, tuple)) else [made]
    form = [(p.dtype, p.shape, p.stride(), p.flatten().tolist()) for p in parts if isinstance(p, Tensor)]
    return (
        *form,
        *[name for name in operations.called if "lift_fresh" not in name],
        *[str(p) for p in parts if not isinstance(p, Tensor)],
    )


PATTERNS = [
    ("rearrange", "b c h w -> b h w c", {}),
    ("rearrange", "b c h w -> b (h w) c", {}),
    ("rearrange", "b c (h p1) (w p2) -> b (h w) (p1 p2 c)", {"p1": 2, "p2": 2}),
    ("rearrange", "b ... -> ... b", {}),
    ("rearrange", "b ... w -> b (...) w", {}),
    ("rearrange", "b c h w -> b 1 c (h w)", {}),
    ("rearrange", "(1 b) c h w -> b c h w 1", {}),
    ("rearrange", "b c h w -> b c h w", {"b": 2}),
    ("rearrange", "b c h w -> b c h", {}),
    ("rearrange", "b c h -> b c h", {}),
    ("rearrange", "b c (h p) w -> b c h p w", {"p": 3}),
    ("rearrange", "b c h w -> b c h w", {"z": 2}),
    ("rearrange", "b c (h p) w -> b c h p w", {}),
    ("repeat", "b c h w -> b (r c) h w", {"r": 3}),
    ("repeat", "b c h w -> b c (h 2) (w 2)", {}),
    ("repeat", "b ... -> n b ...", {"n": 2}),
    ("repeat", "b c h w -> b c h w r", {}),
    ("repeat", "b c h w -> r b c", {"r": 2}),
    ("mean", "b c h w -> b c", {}),
    ("max", "b c (h p) (w q) -> b c h w", {"p": 2, "q": 2}),
    ("sum", "b c h w -> c 1 b", {}),
    ("min", "b ... -> b", {}),
    ("prod", "b c h w -> h", {}),
    ("mean", "b c (h 2) w -> w b", {}),
    ("median", "b c h w -> b c", {}),
    ("sum", "b c h w -> b c z", {}),
]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.int64])
@pytest.mark.parametrize(("how", "pattern", "sizes"), PATTERNS)
def test_patterns_are_those_of_einops(how: str, pattern: str, sizes: dict[str, int], dtype: torch.dtype) -> None:
    x = torch.arange(2 * 3 * 4 * 4).reshape(2, 3, 4, 4).to(dtype).transpose(-1, -2)
    if how in ("rearrange", "repeat"):
        real, made = (told(lambda one=one: getattr(one, how)(x, pattern, **sizes)) for one in (einops, ours))
    else:
        real, made = (told(lambda one=one: one.reduce(x, pattern, how, **sizes)) for one in (einops, ours))
    assert made == real
    assert isinstance(real[0], tuple) or real in (("EinopsError",), ("NotImplementedError",))


def test_the_rest_of_einops() -> None:
    x, y = torch.rand(2, 3, 4), torch.rand(2, 5, 4).bfloat16().float()
    for one in (ours, einops):
        assert one.parse_shape(x, "b _ w") == {"b": 2, "w": 4}
    calls = [
        lambda one: one.einsum(x, y, "b i d, b j d -> b i j"),
        lambda one: one.einsum(x, "... a b -> ... b a"),
        lambda one: one.rearrange([x, x], "n b ... -> b ... n"),
        lambda one: one.pack([x, y], "b * d"),
        lambda one: one.pack([x, x[:, 0]], "b * d"),
        lambda one: one.unpack(torch.cat([x, y], 1), [(3,), (5,)], "b * d"),
        lambda one: one.unpack(torch.cat([x, y], 1), [(3, 1), (-1,)], "b * d"),
        lambda one: one.pack([x], "b d"),
    ]
    for call in calls:
        assert told(lambda call=call: call(ours)) == told(lambda call=call: call(einops))
    from einops.layers import torch as layers

    for name, arguments in (("Rearrange", ("b c d -> b (c d)",)), ("Reduce", ("b c d -> b d", "max"))):
        made, real = ours.layers()[name](*arguments), getattr(layers, name)(*arguments)
        assert told(lambda made=made: made(x)) == told(lambda real=real: real(x))
    assert issubclass(axis_patterns.EinopsError, RuntimeError) and issubclass(einops.EinopsError, RuntimeError)


@pytest.fixture(scope="module")
def real_timm() -> Iterator[Any]:
    sys.path.insert(0, str(BESIDE))
    try:
        with environment("cpu") as place:
            place.finder.add("torchvision")
            import timm.data
            import timm.layers
            import timm.models._manipulate
            import timm.models.vision_transformer

            yield timm
    finally:
        sys.path.remove(str(BESIDE))
        for name in [name for name in sys.modules if name.split(".")[0] == "timm"]:
            del sys.modules[name]


LAYERS: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = [
    ("DropPath", (0.5,), {}, (2, 3, 8)),
    ("Mlp", (8, 16), {"drop": 0.1}, (2, 3, 8)),
    ("Mlp", (8,), {"use_conv": True, "bias": (True, False), "norm_layer": nn.BatchNorm2d}, (2, 8, 4, 4)),
    ("PatchEmbed", (16, 4, 3, 8), {"norm_layer": nn.LayerNorm}, (2, 3, 16, 16)),
    ("PatchEmbed", (), {"img_size": 16, "patch_size": 4, "embed_dim": 8, "dynamic_img_pad": True,
                        "strict_img_size": False, "output_fmt": "NHWC"}, (2, 3, 15, 18)),
    ("PatchEmbed", (16, 4, 3, 8), {}, (2, 3, 16, 20)),
    ("PatchEmbed", (None, 4, 3, 8), {"flatten": False}, (2, 3, 16, 20)),
    ("LayerNorm", (8,), {}, (2, 3, 8)),
    ("LayerNorm2d", (8,), {}, (2, 8, 4, 4)),
    ("RmsNorm", (8,), {}, (2, 3, 8)),
    ("GroupNorm1", (8,), {}, (2, 8, 4)),
    ("LayerScale", (8,), {"init_values": 0.1}, (2, 3, 8)),
    ("Attention", (8, 2), {"qkv_bias": True, "qk_norm": True, "norm_layer": nn.LayerNorm}, (2, 3, 8)),
    ("Block", (8, 2), {"qkv_bias": True, "init_values": 0.1, "drop_path": 0.2}, (2, 3, 8)),
    ("Block", (8, 2), {"mlp_ratio": 2.0, "proj_bias": False, "norm_layer": nn.LayerNorm}, (2, 3, 8)),
]  # fmt: skip


@needs_apart
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS)
@torch.no_grad()
def test_layers_are_those_of_timm(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], shape: tuple[int, ...], dtype: torch.dtype, real_timm: Any
) -> None:
    rooms = (real_timm.layers, real_timm.models.vision_transformer)
    there = next(getattr(room, name) for room in rooms if hasattr(room, name))
    real = there(*args, **kwargs).to(dtype).eval()
    made = timm.layers()[name](*args, **kwargs).to(dtype).eval()
    assert [(n, p.shape, p.dtype) for n, p in made.named_parameters()] == [
        (n, p.shape, p.dtype) for n, p in real.named_parameters()
    ]
    for parameter in real.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5)
    made.load_state_dict(real.state_dict())
    x = torch.rand(shape).to(dtype)
    assert told(lambda: made(x)) == told(lambda: real(x))
    if name == "DropPath":
        assert told(lambda: made.train()(x))[1:] == told(lambda: real.train()(x))[1:]


@needs_apart
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("how", [
    {"new_size": [4, 4]}, {"new_size": [2, 8]}, {"new_size": [6, 5]}, {"new_size": [6, 6], "old_size": [2, 8]},
    {"new_size": [4, 4], "old_size": [2, 8]}, {"new_size": [5, 5], "num_prefix_tokens": 0, "antialias": False},
])  # fmt: skip
def test_positions_are_resampled_as_by_timm(how: dict[str, Any], dtype: torch.dtype, real_timm: Any) -> None:
    table = torch.rand(1, 16 + how.get("num_prefix_tokens", 1), 8).to(dtype)
    there, here = real_timm.layers.resample_abs_pos_embed, timm.layers()["resample_abs_pos_embed"]
    assert told(lambda: here(table, **how)) == told(lambda: there(table, **how))


TOWERS = [
    ("vit_base_patch16_224.augreg2_in21k_ft_in1k", {}),
    ("vit_large_patch14_clip_224", {"num_classes": 0, "drop_rate": 0.1}),
    ("vit_so400m_patch14_siglip_384.webli", {"num_classes": 0, "dynamic_img_size": True, "dynamic_img_pad": True}),
    ("vit_small_patch14_reg4_dinov2", {"num_classes": 0, "dynamic_img_size": True}),
    ("vit_tiny_patch16_384", {"global_pool": "avg"}),
    ("vit_base_patch14_dinov2.lvd142m", {"global_pool": "avgmax", "drop_path_rate": 0.1}),
]


@needs_apart
@pytest.mark.parametrize(("name", "given"), TOWERS)
@torch.no_grad()
def test_towers_are_those_of_timm(name: str, given: dict[str, Any], real_timm: Any) -> None:
    small = {"embed_dim": 16, "depth": 2, "num_heads": 2, "img_size": 28 if "patch14" in name else 32, **given}
    real = real_timm.create_model(name, **small).bfloat16().eval()
    made = timm_vision.create_model(name, **small).bfloat16().eval()
    for parameter in real.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5)
    made.load_state_dict(real.state_dict())
    size = (
        (30, 44)
        if "dynamic_img_pad" in given
        else (28, 42)
        if "dynamic_img_size" in given
        else (small["img_size"],) * 2
    )
    x = torch.rand(2, 3, *size).bfloat16()
    assert told(lambda: made(x)) == told(lambda: real(x))
    for how in ({"n": 1}, {"n": [0], "norm": True}, {"n": 2, "reshape": True}) if len(set(size)) == 1 else ():
        layers = [told(lambda one=one, how=how: one.get_intermediate_layers(x, **how)) for one in (made, real)]
        assert [p for p in layers[0] if isinstance(p, tuple)] == [p for p in layers[1] if isinstance(p, tuple)]


def held(model: nn.Module) -> list[object]:
    """What tells how a model is built."""
    parts = [
        (type(one).__name__, getattr(one, "eps", 0)) for one in model.modules() if not isinstance(one, nn.Identity)
    ]
    return [*parts, *[(name, parameter.shape) for name, parameter in model.named_parameters()]]


@needs_apart
def test_names_of_towers_tell_what_timm_builds(real_timm: Any) -> None:
    names = [name for name in real_timm.list_models("vit_*") if timm_vision.arguments(name) is not None]
    assert len(names) > 20
    for name in names:
        with torch.device("meta"):
            given = {"depth": 1, **({"num_classes": 0} if "clip" in name else {})}
            assert held(timm_vision.create_model(name, **given)) == held(real_timm.create_model(name, **given)), name


@needs_apart
def test_functions_are_those_of_timm(real_timm: Any) -> None:
    here = timm.layers()
    for name in ("to_2tuple", "to_3tuple"):
        for value in (1, (1, 2), "ab", [3, 4]):
            assert here[name](value) == getattr(real_timm.layers, name)(value)
    for value in (1, 7, 12, 33.5):
        assert here["make_divisible"](value) == real_timm.layers.make_divisible(value)
    assert here["_cfg"](url="x", crop_pct=1.0) == real_timm.models.vision_transformer._cfg(url="x", crop_pct=1.0)
    for name, value in timm.modules()["timm.data"]().items():
        assert value == getattr(real_timm.data, name)
    seen: list[str] = []
    model = nn.Sequential(nn.Sequential(nn.ReLU()))
    for one in (here["named_apply"], real_timm.models._manipulate.named_apply):
        one(lambda module, name: seen.append(f"{name} {type(module).__name__}"), model, include_root=True)
    assert seen[:3] == seen[3:] and len(seen) == 6
    for name in ("trunc_normal_", "trunc_normal_tf_", "lecun_normal_", "variance_scaling_"):
        spread = []
        for one in (here[name], getattr(real_timm.layers, name)):
            torch.manual_seed(0)
            weight = torch.empty(64, 64, dtype=torch.bfloat16)
            one(weight)
            spread.append(float(weight.float().std()))
        assert spread[0] == pytest.approx(spread[1], rel=0.05)


RECORDED: list[tuple[Any, ...]] = [
    ('resize(x, 6)', 'uint8', (3, 10, 14), 'uint8', (3, 6, 8), (48, 8, 1), 15593.0),
    ('resize(x, [5, 7], M.BICUBIC)', 'uint8', (3, 10, 14), 'uint8', (3, 5, 7), (35, 7, 1), 11410.0),
    ('resize(x, 6, M.BICUBIC)', 'bfloat16', (2, 3, 14, 10), 'bfloat16', (2, 3, 8, 6), (144, 48, 6, 1), 131.0),
    ('resize(x, 6, max_size=7)', 'float16', (3, 10, 14), 'float16', (3, 5, 7), (35, 7, 1), 44.65),
    ('resize(x, 20, M.NEAREST)', 'float32', (3, 10, 14), 'float32', (3, 20, 28), (560, 28, 1), 712.05),
    ('resize(x, [10, 14])', 'bfloat16', (3, 10, 14), 'bfloat16', (3, 10, 14), (140, 14, 1), 178.01),
    ('center_crop(x, 6)', 'float32', (3, 10, 14), 'float32', (3, 6, 6), (140, 14, 1), 53.09),
    ('center_crop(x, [20, 8])', 'bfloat16', (3, 10, 14), 'bfloat16', (3, 20, 8), (280, 14, 1), 102.28),
    ('normalize(x, [.5, .4, .3], [.2, .3, .4])', 'bfloat16', (3, 4, 4), 'bfloat16', (3, 4, 4), (16, 4, 1), -59.89),
    ('normalize(x, [.5, .4, .3], [.2, .3, .4])', 'uint8', (3, 4, 4), 'TypeError'),
    ('pad(x, [1, 2])', 'float16', (3, 4, 4), 'float16', (3, 8, 6), (48, 6, 1), 4.41),
    ("pad(x, 1, padding_mode='reflect')", 'bfloat16', (3, 4, 4), 'bfloat16', (3, 6, 6), (36, 6, 1), 9.91),
    ('hflip(x)', 'bfloat16', (3, 4, 4), 'bfloat16', (3, 4, 4), (16, 4, 1), 4.41),
    ('convert_image_dtype(x, torch.bfloat16)', 'uint8', (3, 4, 4), 'bfloat16', (3, 4, 4), (16, 4, 1), 4.43),
    ('convert_image_dtype(x, torch.uint8)', 'bfloat16', (3, 4, 4), 'uint8', (3, 4, 4), (16, 4, 1), 1128.0),
    ('to_tensor(x.numpy())', 'uint8', (4, 5, 3), 'float32', (3, 4, 5), (20, 5, 1), 6.94),
    ('to_tensor(x.numpy())', 'float64', (4, 5), 'float64', (1, 4, 5), (0, 5, 1), 0.74),
    ('pil_to_tensor(resize(I.fromarray(x.numpy()), 3))', 'uint8', (4, 5, 3), 'uint8', (3, 3, 3), (1, 9, 3), 801.0),
    ('to_tensor(center_crop(I.fromarray(x.numpy()), 6))', 'uint8', (4, 5, 3), 'float32', (3, 6, 6), (36, 6, 1), 6.94),
]  # fmt: skip
"""What torchvision 0.26.0 gave beside torch 2.13: the call, its input's dtype and shape; the dtype, shape, strides and
sum of its result, or its error. It does not import beside a CPU build of torch without a registration of its own."""


@pytest.mark.parametrize("row", RECORDED, ids=lambda row: f"{row[0]} of {row[1]}")
def test_transforms_are_those_of_torchvision(row: tuple[Any, ...]) -> None:
    call, dtype, shape, *recorded = row
    x = (torch.arange(math.prod(shape)).reshape(shape) % 251).to(getattr(torch, dtype))
    x = x / 256 if x.is_floating_point() else x
    names = {**torchvision._functions(), "x": x, "torch": torch, "M": functional.InterpolationMode}
    if "I." in call:
        names["I"] = pytest.importorskip("PIL.Image")
    try:
        made = eval(call, names)
    except TypeError as error:
        assert [type(error).__name__] == recorded
        return
    strides = tuple(step if size > 1 else 0 for step, size in zip(made.stride(), made.shape, strict=True))
    told = [str(made.dtype)[6:], tuple(made.shape), strides, pytest.approx(float(made.double().sum()), abs=0.01)]
    assert recorded == told


def test_transforms_are_put_together() -> None:
    image = pytest.importorskip("PIL.Image").new("RGB", (40, 30))
    T = torchvision._transforms()
    steps = [T["Resize"](16), T["CenterCrop"](12), T["ToTensor"](), T["Normalize"]([0.5] * 3, [0.5] * 3)]
    made = T["Compose"](steps)(image)
    assert (made.dtype, made.shape) == (torch.float32, (3, 12, 12))
    assert T["ConvertImageDtype"](torch.float16)(made).dtype == torch.float16
    assert T["RandomResizedCrop"](8)(made).shape == (3, 8, 8) and T["Pad"](2)(made).shape == (3, 16, 16)


def test_small_packages() -> None:
    modules = small_packages.MODULES
    made = modules["easydict"]["EasyDict"]({"a": {"b": 1}}, c=[{"d": 2}])
    made.e = {"f": 3}
    assert made.a.b == 1 and made.c[0].d == 2 and made["e"].f == 3 and isinstance(made, dict)
    with pytest.raises(AttributeError):
        made.nothing  # noqa: B018
    grown = modules["addict"]["Dict"]()
    grown.a.b = 1
    assert grown == {"a": {"b": 1}}
    registry = modules["fvcore.common.registry"]["Registry"]("R")

    @registry.register()
    def one() -> int:
        return 1

    assert registry.get("one")() == 1 and "one" in registry
    with pytest.raises(KeyError, match="No object named 'two' found in 'R' registry"):
        registry.get("two")
    assert modules["loguru"]["logger"].opt(depth=1).info("a") is not None
    assert modules["termcolor"]["colored"]("a", "red") == "a"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gated_norm_is_a_norm_in_float32(dtype: torch.dtype) -> None:
    norm = kernels.layernorm_gated()["rmsnorm_fn"]
    x, gate, weight = torch.rand(2, 3, 8).to(dtype), torch.rand(2, 3, 8).to(dtype), torch.rand(8)
    plain = nn.functional.rms_norm(x.float(), (8,), weight, 1e-6)
    assert torch.allclose(norm(x, weight, None), plain.to(dtype))
    gated = plain * nn.functional.silu(gate.float())
    assert torch.allclose(norm(x, weight, None, z=gate), gated.to(dtype))
    first = nn.functional.rms_norm(x.float() * nn.functional.silu(gate.float()), (8,), weight, 1e-6)
    assert torch.allclose(norm(x, weight, None, z=gate, norm_before_gate=False), first.to(dtype))
    parts = torch.cat([nn.functional.rms_norm(x[..., at : at + 4].float(), (4,), None, 1e-6) for at in (0, 4)], -1)
    made = norm(x, weight, None, group_size=4)
    assert torch.allclose(made, (parts * weight).to(dtype), atol=1e-5) and made.dtype == dtype
