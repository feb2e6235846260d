"""A waveform in float64 meets mel filters in float32 (openai/whisper#2831)."""

from __future__ import annotations

import torch
from torch import nn

from tests.corpus.case import RAISES, Case, Made


class Mel(nn.Module):
    """The logarithm of a spectrogram."""

    def __init__(self, mended: bool) -> None:
        super().__init__()
        self.mended = mended
        self.register_buffer("filters", torch.rand(4, 9))

    def forward(self, audio: torch.Tensor) -> torch.Tensor:
        """Bands and frames."""
        if self.mended:
            audio = audio.float()
        window = torch.hann_window(16)
        magnitudes = torch.stft(audio, 16, 8, window=window, return_complex=True).abs() ** 2
        mel = self.filters @ magnitudes
        return torch.clamp(mel, min=1e-10).log10()


def build(mended: bool) -> Made:
    """Filters in float32."""
    return Mel(mended), {"audio": torch.randn(64).double()}


CASE = Case(
    report="openai/whisper#2831",
    kind=RAISES,
    build=build,
    cause="input audio",
    fix="the waveform is cast to float32",
)
