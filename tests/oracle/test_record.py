"""The recorder against the oracle, on the one device that is always there, and what a recording does to the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from analyzer.oracle import Dtypes, Refused, Unanswered, ask, device_rows, record
from analyzer.oracle.__main__ import cli
from analyzer.oracle.device_rows import FROM_SOURCE, Row
from analyzer.oracle.signatures import SIGNATURES, fill


@pytest.mark.parametrize("number", range(len(SIGNATURES)), ids=[s.op for s in SIGNATURES])
def test_the_recorder_on_the_cpu_hears_what_the_oracle_hears(number: int) -> None:
    signature = SIGNATURES[number]
    heard = {row.dtypes: row for row in record.record("cpu", [signature])}
    for chosen in signature.calls():
        kwargs = tuple((name, fill(value, chosen)) for name, value in signature.kwargs)
        said = ask(signature.op, fill(signature.args, chosen), kwargs)
        row = heard.get(record.operands(signature, chosen))
        if row is None:
            assert isinstance(said, Unanswered)
        elif isinstance(said, Dtypes):
            assert said.names == row.gives
        else:
            assert isinstance(said, Refused)
            assert said.message == row.refused


def test_what_was_read_stays_only_where_the_device_was_not_heard() -> None:
    def row(op: str, refused: str = "", source: str = "recorded") -> Row:
        return Row(op, ("float32",), (), refused, () if refused else ("float32",), source, "pytorch#1")

    old = [row("a", "no", FROM_SOURCE), row("b", "no", FROM_SOURCE)]
    cpu, device = [row("a"), row("c"), row("d")], [row("a"), row("c", "no"), row("d")]
    assert record.merged(old, device, cpu) == [old[1], device[1]]


def test_the_command_writes_a_file_that_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "SIGNATURES", SIGNATURES[:1])
    monkeypatch.setattr("analyzer.oracle.__main__.record", lambda device: record.record(device, SIGNATURES[:1]))
    out = tmp_path / "cpu.json"
    result = CliRunner().invoke(cli, ["record", "--device", "cpu", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert sorted(device_rows.parse(out.read_text()).rows, key=lambda r: r.key) == sorted(
        record.record("cpu", SIGNATURES[:1]), key=lambda r: r.key
    )
    assert len({line for line in out.read_text().splitlines() if '"recorded"' in line}) == 64


def test_the_command_wants_a_device_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    result = CliRunner().invoke(cli, ["record"])
    assert result.exit_code == 1
    assert "no CUDA device here" in result.output
