"""Every operator and dtype that CUDA and the CPU do not share gets the verdict of PyTorch's operator database."""

from __future__ import annotations

from tests.truth.cuda_dtypes import CPU_ONLY, CUDA_ONLY, pairs, verdict


def test_where_cuda_and_the_cpu_differ_the_trace_says_what_the_database_says() -> None:
    verdicts = [verdict(pair) for pair in pairs((CPU_ONLY, CUDA_ONLY))]
    assert len(verdicts) > 150
    assert sum(v.pair.kind == CUDA_ONLY for v in verdicts) > 30
    assert [(v.pair.name, v.error, v.stopped) for v in verdicts if not v.agrees] == []
