"""The front's program: a request goes to a worker, its answer becomes a report, and that becomes files."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

from analyzer.check.judgement import Check
from analyzer.check.suppressions import Suppression
from analyzer.errors import AnalyzerError
from analyzer.report import Report
from analyzer.report.reader import parse_report
from analyzer.report.records import parse_value
from analyzer.report.trials import Tried, parse_edits, parse_trials
from analyzer.worker.channel import Fresh
from analyzer.worker.extra_packages import packages_folder
from analyzer.worker.in_process import InProcess, caches_in
from analyzer.worker.named_models import named_models
from analyzer.worker.process import Answer, Ended, EndedError, Tell, WorkerOptions, started
from analyzer.worker.protocol import Action, Setup, TraceRequest, Wanted
from analyzer.worker.readable import readable
from analyzer.worker.scratch import scratch_folder

MOST_EDITED: Final = 4
"""For how many errors of a check a change of the source is looked for."""
_AS_IF: Final = 3
"""How many times its memory a worker may reserve: an import of torch for CUDA reserves gigabytes that it never uses."""
_RESERVED: Final = 16 << 30
"""Bytes that it may reserve besides."""


class Asker(Protocol):
    """Whoever answers: a process, or for debugging this one."""

    def ask(self, action: Action, data: Wanted, tell: Tell) -> Answer:
        """The answer to one request."""


@contextmanager
def worker(how: WorkerOptions, requests: Sequence[TraceRequest], warn: Tell, tell: Tell) -> Iterator[Asker]:
    """Whoever will answer these requests, and may read what they name.

    `warn` hears that it is not confined, `tell` how far packages are that must be installed for it.
    """
    if how.in_process:
        if how.bounds.require_confined or how.python or how.packages:
            raise AnalyzerError("--in-process is neither confined nor another Python", hint="leave one of them out")
        warn("not confined: --in-process")
        with scratch_folder() as scratch, caches_in(scratch):
            yield InProcess(scratch, how.debug)
        return
    space = how.bounds.max_memory * _AS_IF + _RESERVED if how.bounds.max_memory else 0
    packages = packages_folder(how.packages, how.python or sys.executable, tell) if how.packages else ""
    lent = named_models(requests)
    opened = [real for one in lent for _, real in one.files]
    setup = Setup("", (*readable(requests), *opened), space, how.debug, lent, str(packages))
    with started(Fresh(how.python, how.debug), how, setup, warn) as one:
        yield one


def trace(asker: Asker, request: TraceRequest, tell: Tell) -> tuple[Report, Ended | None]:
    """The report on a model, and why it is but a part where it is."""
    answer = asker.ask("trace", {"request": request.to_json()}, tell)
    return parse_report(answer.data, "the worker's report"), answer.ended


def fix(asker: Asker, request: TraceRequest, tell: Tell) -> tuple[Tried, Ended | None]:
    """What could clear the errors of a model, each tried, and why it is but a part where it is."""
    answer = asker.ask("fix", {"request": request.to_json()}, tell)
    return parse_trials(answer.data, "the worker's table"), answer.ended


def comments(asker: Asker, model: Path, rules: Mapping[str, str], tell: Tell) -> list[Suppression]:
    """The suppressions in the source files of a model, with the code of each rule by its name."""
    answer = _whole(asker.ask("comments", {"model": str(model), "rules": dict(rules)}, tell))
    return list(parse_value(tuple[Suppression, ...], answer.data, "the worker's list of suppressions"))


def edit(asker: Asker, check: Check, tell: Tell) -> tuple[Check, Ended | None]:
    """The check, its first failing errors with a change of the source that was proved to help, where there is one.

    Where the run is told to end meanwhile, none has, and it is said why.
    """
    wanted = [one for one in check.failing if one.finding.severity == "error"][:MOST_EDITED]
    stages = check.report.stages
    places = [
        next((number, stage.findings.index(one.finding)) for number, stage in enumerate(stages)
             if one.finding in stage.findings)
        for one in wanted
    ]  # fmt: skip
    try:
        answer = asker.ask("edits", {"findings": places}, tell)
    except EndedError as error:
        return check, Ended(error.code, error.message)
    found = parse_edits(answer.data, len(wanted), "the worker's list of edits")
    edits = {one.key: made for one, made in zip(wanted, found, strict=True) if made}
    judged = tuple(replace(one, edit=edits.get(one.key)) for one in check.judged)
    return replace(check, judged=judged), answer.ended


def _whole(answer: Answer) -> Answer:
    """An answer in time. Raises EndedError where the run was told to end meanwhile."""
    if answer.ended is not None:
        raise EndedError(answer.ended)
    return answer
