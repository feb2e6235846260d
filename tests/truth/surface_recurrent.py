"""Recurrent modules: LSTM, GRU and RNN, their cells, both ways, with given states and on packed sequences."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def lstm() -> nn.Module:
    return nn.LSTM(8, 8, 2, batch_first=True)


def both_ways() -> nn.Module:
    return nn.LSTM(8, 8, bidirectional=True, batch_first=True)


def projected() -> nn.Module:
    return nn.LSTM(8, 8, proj_size=4, batch_first=True)


def gru() -> nn.Module:
    return nn.GRU(8, 8, 2, batch_first=True, bidirectional=True)


def rnn() -> nn.Module:
    return nn.RNN(8, 8, batch_first=True)


class Stateful(nn.Module):
    """Begins with a state that it makes in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(8, 8, batch_first=True)

    def forward(self, x: Any) -> Any:
        state = torch.zeros(1, x.shape[0], 8)
        return self.rnn(x, (state, state))


class _Packed(nn.Module):
    def __init__(self, rnn: nn.Module) -> None:
        super().__init__()
        self.rnn = rnn

    def forward(self, x: Any) -> Any:
        packed = pack_padded_sequence(x, torch.tensor([5, 3]), batch_first=True)
        return pad_packed_sequence(self.rnn(packed)[0], batch_first=True)


class PackedInput(nn.Module):
    """Is given a packed sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(8, 8)

    def forward(self, packed: Any) -> Any:
        return self.rnn(packed)


def packed_lstm() -> nn.Module:
    return _Packed(nn.LSTM(8, 8, bidirectional=True, batch_first=True))


def packed_gru() -> nn.Module:
    return _Packed(nn.GRU(8, 8, batch_first=True))


def lstm_cell() -> nn.Module:
    return nn.LSTMCell(8, 8)


def gru_cell() -> nn.Module:
    return nn.GRUCell(8, 8)


def rnn_cell() -> nn.Module:
    return nn.RNNCell(8, 8)
