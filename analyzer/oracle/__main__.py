"""`python -m analyzer.oracle record` asks the device at hand and writes its data file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
import torch

from analyzer.oracle import device_rows, operator_database, operator_dtypes, operator_verdicts
from analyzer.oracle.record import merged, record


@click.group()
def cli() -> None:
    """Look after what other devices than the CPU answered."""


@cli.command("record")
@click.option("--device", type=click.Choice(["cuda", "cpu"]), default="cuda", show_default=True, help="Whom to ask.")
@click.option("--out", type=click.Path(path_type=Path), help="Default: the data file of the device in this package.")
def write(device: str, out: Path | None) -> None:
    """Put every signature to the device; keep the answers that differ from the CPU's (of the CPU: all)."""
    if device == "cuda" and not torch.cuda.is_available():
        raise click.ClickException("no CUDA device here; run it on a machine that has one")
    here, old = record(device), device_rows.load(device)
    rows = tuple(here if device == "cpu" else merged(old.rows, here, record("cpu")))
    if out is None and device == "cpu":
        raise click.ClickException("the CPU is asked anew each time and has no data file; give --out FILE")
    out = out or Path(device_rows.__file__).with_name(f"{device}.json")
    out.write_text(device_rows.dump(replace(old, rows=rows)), encoding="utf-8")
    click.echo(f"{len(here)} signatures put to {device}; {len(rows)} rows in {out}")


@cli.command("operators")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Default: this package.")
def write_operators(out: Path | None) -> None:
    """Read PyTorch's operator database: which kernels other devices lack. Entries of other releases are kept.

    The sets of dtypes are those of a current GPU (every compute capability that the database asks for, no ROCm).
    """
    torch.set_num_threads(1)
    entries, release = operator_database.database(), operator_dtypes.release(torch.__version__)
    seen = operator_database.survey(entries)
    for device in operator_verdicts.DEVICES:
        old = operator_dtypes.load(device)
        rows = operator_dtypes.merged(old.rows, operator_verdicts.rows(entries, device, seen, release), release)
        other = operator_verdicts.differences(entries, device, release)
        differences = operator_dtypes.merged(old.differences, other, release)
        path = operator_dtypes.file_of(device) if out is None else out / operator_dtypes.file_of(device).name
        answers = operator_dtypes.Answers(tuple(rows), tuple(differences))
        path.write_text(operator_dtypes.dump(answers), encoding="utf-8")
        click.echo(f"{len(entries)} operators of torch {release} read; {len(rows)} rows in {path}")


if __name__ == "__main__":
    cli(prog_name="python -m analyzer.oracle")
