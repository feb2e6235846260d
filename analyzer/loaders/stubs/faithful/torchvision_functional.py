"""The functions of `torchvision.transforms.functional`, for tensors and for images of PIL: their shapes and dtypes."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

Size = int | Sequence[int]
Image = Any
"""A tensor (..., H, W), or an image of PIL."""
_WIDE: Final = (torch.float32, torch.float64)
"""Dtypes that images are resized in; others are cast to the first, and back."""


class InterpolationMode(Enum):
    """How values between pixels come about."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


_OF_PIL: Final = {"nearest": 0, "nearest-exact": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
_SMOOTH: Final = ("bilinear", "bicubic")


def get_dimensions(img: Image) -> list[int]:
    """Channels, height, width."""
    if isinstance(img, Tensor):
        return [img.shape[-3] if img.ndim > 2 else 1, *img.shape[-2:]]
    return [len(img.getbands()), img.height, img.width]


def get_image_size(img: Image) -> list[int]:
    """Width and height."""
    return get_dimensions(img)[:0:-1]


def resize(
    img: Image, size: Size, interpolation: Any = InterpolationMode.BILINEAR, max_size: int | None = None,
    antialias: bool | None = True,
) -> Image:  # fmt: skip
    """The image in another size; one number is that of the shorter side."""
    _, height, width = get_dimensions(img)
    wanted = _resized(height, width, size, max_size)
    mode = _mode(interpolation)
    if wanted == [height, width]:
        return img
    if not isinstance(img, Tensor):
        return img.resize(wanted[::-1], _OF_PIL[mode])
    wide = img if img.ndim > 3 else img.unsqueeze(0)
    wide = wide if wide.dtype in _WIDE else wide.to(torch.float32)
    smooth = mode in _SMOOTH
    made = F.interpolate(
        wide, size=wanted, mode=mode, align_corners=False if smooth else None, antialias=bool(antialias) and smooth
    )
    if mode == "bicubic" and img.dtype == torch.uint8:
        made = made.clamp(min=0, max=255)
    made = made if img.ndim > 3 else made.squeeze(0)
    if made.dtype == img.dtype:
        return made
    return (made if img.is_floating_point() else torch.round(made)).to(img.dtype)


def _mode(interpolation: Any) -> str:
    if isinstance(interpolation, InterpolationMode):
        return interpolation.value
    return next((name for name, number in _OF_PIL.items() if number == int(interpolation)), "bilinear")


def _resized(height: int, width: int, size: Size, max_size: int | None) -> list[int]:
    sizes = [size] if isinstance(size, int) else list(size)
    if len(sizes) == 2:
        return sizes
    short, long = sorted((height, width))
    new_short, new_long = sizes[0], int(sizes[0] * long / short)
    if max_size is not None and new_long > max_size:
        new_short, new_long = int(max_size * new_short / new_long), max_size
    return [new_long, new_short] if width <= height else [new_short, new_long]


def crop(img: Image, top: int, left: int, height: int, width: int) -> Image:
    """A part of the image."""
    if isinstance(img, Tensor):
        return img[..., top : top + height, left : left + width]
    return img.crop((left, top, left + width, top + height))


def center_crop(img: Image, output_size: Size) -> Image:
    """The middle of the image, padded with zeros where it is too small."""
    wanted = [output_size] if isinstance(output_size, int) else list(output_size)
    high, wide = wanted if len(wanted) == 2 else wanted * 2
    _, height, width = get_dimensions(img)
    if wide > width or high > height:
        right, down = max(wide - width, 0), max(high - height, 0)
        img = pad(img, [right // 2, down // 2, (right + 1) // 2, (down + 1) // 2])
        _, height, width = get_dimensions(img)
    if (high, wide) == (height, width):
        return img
    return crop(img, round((height - high) / 2.0), round((width - wide) / 2.0), high, wide)


def pad(img: Image, padding: Size, fill: Any = 0, padding_mode: str = "constant") -> Image:
    """The image with a border: of one width, of two (sides, top and bottom), or of four (left, top, right, bottom)."""
    widths = [padding] if isinstance(padding, int) else list(padding)
    left, top, right, bottom = (widths * 4)[:4] if len(widths) < 4 else widths
    if isinstance(img, Tensor):
        mode = "replicate" if padding_mode == "edge" else padding_mode
        value = float(fill if not isinstance(fill, Sequence) else fill[0]) if mode == "constant" else None
        wide = img if img.ndim > 3 else img.unsqueeze(0)
        wide = wide if mode == "constant" or img.dtype in _WIDE else wide.to(torch.float32)
        made = F.pad(wide, [left, right, top, bottom], mode=mode, value=value)
        made = made if img.ndim > 3 else made.squeeze(0)
        return made.to(img.dtype)
    from PIL import ImageOps

    return ImageOps.expand(img, (left, top, right, bottom), fill)


def hflip(img: Image) -> Image:
    """The image mirrored."""
    return img.flip(-1) if isinstance(img, Tensor) else img.transpose(0)


def normalize(tensor: Tensor, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> Tensor:
    """`(tensor - mean) / std` of each channel, in the tensor's dtype. Raises TypeError for integers."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(tensor)}")
    if not tensor.is_floating_point():
        raise TypeError(f"Input tensor should be a float tensor. Got {tensor.dtype}.")
    means = torch.as_tensor(mean, dtype=tensor.dtype, device=tensor.device)
    stds = torch.as_tensor(std, dtype=tensor.dtype, device=tensor.device)
    made = tensor if inplace else tensor.clone()
    if (stds == 0).any():
        raise ValueError(f"std evaluated to zero after conversion to {tensor.dtype}, leading to division by zero.")
    means = means.view(-1, 1, 1) if means.ndim == 1 else means
    stds = stds.view(-1, 1, 1) if stds.ndim == 1 else stds
    return made.sub_(means).div_(stds)


def pil_to_tensor(pic: Image) -> Tensor:
    """An image of PIL as it is, (C, H, W)."""
    import numpy as np

    pixels = torch.as_tensor(np.array(pic, copy=True))
    return pixels.view(pic.height, pic.width, len(pic.getbands())).permute((2, 0, 1))


def to_tensor(pic: Image) -> Tensor:
    """An image of PIL, or an array (H, W, C), as (C, H, W); bytes become floats from 0 to 1."""
    if hasattr(pic, "getbands"):
        made = pil_to_tensor(pic).contiguous()
    else:
        made = torch.from_numpy(pic if pic.ndim == 3 else pic[:, :, None]).permute((2, 0, 1)).contiguous()
    return made.to(torch.get_default_dtype()).div(255) if made.dtype == torch.uint8 else made


def convert_image_dtype(image: Tensor, dtype: torch.dtype = torch.float) -> Tensor:
    """The image in another dtype, scaled: floats go from 0 to 1, integers over their range."""
    if image.dtype == dtype:
        return image
    if image.is_floating_point():
        if dtype.is_floating_point:
            return image.to(dtype)
        return image.mul(torch.iinfo(dtype).max + 1 - 1e-3).to(dtype)
    most = torch.iinfo(image.dtype).max
    if dtype.is_floating_point:
        return image.to(dtype) / most
    wanted = torch.iinfo(dtype).max
    if most > wanted:
        return torch.div(image, (most + 1) // (wanted + 1), rounding_mode="floor").to(dtype)
    return image.to(dtype) * ((wanted + 1) // (most + 1))
