"""The transforms of torchvision that remote code puts together, over their functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from analyzer.loaders.stubs.faithful import torchvision_functional as F
from analyzer.loaders.stubs.faithful.torchvision_functional import Image, InterpolationMode, Size

Names = dict[str, Any]
_FUNCTIONS: Final = (
    F.resize, F.crop, F.center_crop, F.pad, F.hflip, F.normalize, F.pil_to_tensor, F.to_tensor, F.convert_image_dtype,
    F.get_dimensions, F.get_image_size, F.InterpolationMode,
)  # fmt: skip


def modules() -> dict[str, Callable[[], Names]]:
    """Modules of torchvision -> what makes their names."""
    rooms = ("torchvision.transforms", "torchvision.transforms.v2", "torchvision.transforms.transforms")
    functional = ("torchvision.transforms.functional", "torchvision.transforms.v2.functional")
    return {**dict.fromkeys(rooms, _transforms), **dict.fromkeys(functional, _functions)}


def _functions() -> Names:
    return {one.__name__: one for one in _FUNCTIONS} | {"to_dtype": to_dtype}


def _transforms() -> Names:
    classes = (
        Compose, Resize, CenterCrop, Pad, Normalize, ToTensor, PILToTensor, ConvertImageDtype, Lambda, ToDtype,
        RandomHorizontalFlip, RandomResizedCrop, InterpolationMode,
    )  # fmt: skip
    return {one.__name__: one for one in classes}


def to_dtype(inpt: Tensor, dtype: torch.dtype = torch.float, scale: bool = False) -> Tensor:
    """The tensor in another dtype, scaled if that is asked for."""
    return F.convert_image_dtype(inpt, dtype) if scale else inpt.to(dtype)


class Compose:
    """One transform after the other."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = transforms

    def __call__(self, img: Any) -> Any:
        """The image after all of them."""
        for one in self.transforms:
            img = one(img)
        return img


class Lambda:
    """A function as a transform."""

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        self.lambd = lambd

    def __call__(self, img: Any) -> Any:
        """What the function gives."""
        return self.lambd(img)


class ToTensor:
    """`functional.to_tensor`."""

    def __call__(self, pic: Image) -> Tensor:
        """The image as a tensor of floats."""
        return F.to_tensor(pic)


class PILToTensor:
    """`functional.pil_to_tensor`."""

    def __call__(self, pic: Image) -> Tensor:
        """The image as a tensor of bytes."""
        return F.pil_to_tensor(pic)


class Resize(nn.Module):
    """`functional.resize`."""

    def __init__(
        self, size: Size, interpolation: Any = InterpolationMode.BILINEAR, max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.size, self.interpolation, self.max_size, self.antialias = size, interpolation, max_size, antialias

    def forward(self, img: Image) -> Image:
        """The image in that size."""
        return F.resize(img, self.size, self.interpolation, self.max_size, self.antialias)


class RandomResizedCrop(Resize):
    """Resizes to two sides: which part of the image it takes is chance."""

    def __init__(
        self, size: Size, scale: object = None, ratio: object = None,
        interpolation: Any = InterpolationMode.BILINEAR, antialias: bool | None = True,
    ) -> None:  # fmt: skip
        super().__init__(_pair(size), interpolation, antialias=antialias)


class CenterCrop(nn.Module):
    """`functional.center_crop`."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = _pair(size)

    def forward(self, img: Image) -> Image:
        """The middle of the image."""
        return F.center_crop(img, self.size)


class Pad(nn.Module):
    """`functional.pad`."""

    def __init__(self, padding: Size, fill: Any = 0, padding_mode: str = "constant") -> None:
        super().__init__()
        self.padding, self.fill, self.padding_mode = padding, fill, padding_mode

    def forward(self, img: Image) -> Image:
        """The image with a border."""
        return F.pad(img, self.padding, self.fill, self.padding_mode)


class Normalize(nn.Module):
    """`functional.normalize`."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> None:
        super().__init__()
        self.mean, self.std, self.inplace = mean, std, inplace

    def forward(self, tensor: Tensor) -> Tensor:
        """The tensor, normalized."""
        return F.normalize(tensor, self.mean, self.std, self.inplace)


class ConvertImageDtype(nn.Module):
    """`functional.convert_image_dtype`."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, image: Tensor) -> Tensor:
        """The image in that dtype."""
        return F.convert_image_dtype(image, self.dtype)


class ToDtype(nn.Module):
    """`functional.to_dtype` of version 2."""

    def __init__(self, dtype: torch.dtype, scale: bool = False) -> None:
        super().__init__()
        self.dtype, self.scale = dtype, scale

    def forward(self, inpt: Tensor) -> Tensor:
        """The tensor in that dtype."""
        return to_dtype(inpt, self.dtype, self.scale)


class RandomHorizontalFlip(nn.Module):
    """Leaves the image as it is: whether it is mirrored is chance, and changes no shape."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def forward(self, img: Image) -> Image:
        """The image."""
        return img


def _pair(size: Size) -> list[int]:
    sizes = [size] if isinstance(size, int) else list(size)
    return sizes * 2 if len(sizes) == 1 else sizes
