"""What a worker does with each request: reads the plans, traces or tries fixes, and puts the answer into a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from analyzer import plans
from analyzer.errors import AnalyzerError
from analyzer.gc_paused import importing
from analyzer.ir.plan import Plan
from analyzer.ir.steps import parse_steps
from analyzer.plans.typed_changes import read_asked
from analyzer.worker.protocol import SIDES, Emit, Request, TraceRequest
from analyzer.worker.retyped import retyped

if TYPE_CHECKING:
    from analyzer.loaders.request import ModelRequest
    from analyzer.report import Report

Write: TypeAlias = Callable[[BinaryIO], None]
"""Writes an answer into its file, where it is too long to be made at once."""


class RequestHandler:
    """Answers requests one after the other; `emit` tells the front how far it is."""

    def __init__(self, scratch: Path, emit: Emit) -> None:
        self._scratch, self._emit = scratch, emit
        self._last: tuple[TraceRequest, Report] | None = None
        """The last trace, for which edits may be asked."""
        self._answers = 0

    def answer(self, message: Request) -> str:
        """The name of the file in the scratch folder that holds the answer to a message.

        Raises AnalyzerError for what a person can act on, Interrupted where it was told to stop and has nothing.
        """
        actions: dict[str, Callable[[Request], bytes | Write]] = {
            "trace": self._trace,
            "fix": self._fix,
            "edits": self._edits,
            "comments": self._comments,
        }
        return self._put(actions[message["action"]](message))

    def _trace(self, message: Request) -> Write:
        request = TraceRequest.from_json(message["request"])
        request, made = _changed(request, _plans(request))
        self._tell("importing torch")
        with importing():
            from analyzer.actions.trace import run_stages
            from analyzer.render.json import write

        report = run_stages(self._load(request), made, finished=self._partial)
        self._last = request, report
        return partial(write, report)

    def _fix(self, message: Request) -> bytes:
        request = TraceRequest.from_json(message["request"])
        made = _plans(request)
        asked = [read_asked(text, _reread(request)) for text in request.tries]
        self._tell("importing torch")
        with importing():
            from analyzer.actions.fix import run_fix
            from analyzer.report.trials import trials_to_json

        errors, trials, incomplete = run_fix(self._load(request), made, asked=asked)
        return trials_to_json(errors, trials, made, incomplete)

    def _edits(self, message: Request) -> bytes:
        """A change of the source for each finding of the last report, given as numbers of its stage and in it."""
        if self._last is None:
            raise AnalyzerError("edits were asked for before a trace")
        from analyzer.actions.fix import run_edits

        request, report = self._last
        wanted = [(int(stage), int(number)) for stage, number in message["findings"]]
        edits = run_edits(self._load(request), report, wanted)
        return dumps([edit and asdict(edit) for edit in edits]).encode()

    def _comments(self, message: Request) -> bytes:
        """The suppressions in the source files of a model; `rules` has the code of each rule by its name."""
        from analyzer.check.comments import commented

        found = commented(Path(message["model"]), message["rules"])
        return dumps([asdict(one) for one in found]).encode()

    def _load(self, request: TraceRequest) -> ModelRequest:
        from analyzer.loaders.remote_code.origin import Origin
        from analyzer.loaders.request import ModelRequest

        inputs = Path(request.inputs) if request.inputs else None
        return ModelRequest(
            Path(request.model),
            trust_remote_code=request.trust_remote_code,
            inputs_file=inputs,
            stubs=request.stubs,
            steps=parse_steps(request.steps),
            text_only=request.text_only,
            progress=self._tell,
            origin=Origin({}, retyped(request), request.beside, request.beside_has),
        )

    def _tell(self, text: str) -> None:
        self._emit("step", text=text)

    def _partial(self, report: Report) -> None:
        """Keep what the first stages of several gave, in case that the rest does not come to its end."""
        from analyzer.render.json import write

        self._emit("partial", file=self._put(partial(write, report)))

    def _put(self, data: bytes | Write) -> str:
        self._answers += 1
        name = f"answer-{self._answers}"
        with (self._scratch / name).open("wb") as file:
            if isinstance(data, bytes):
                file.write(data)
            else:
                data(file)
        return name


def _plans(request: TraceRequest, tried: Mapping[str, str] | None = None) -> tuple[Plan, ...]:
    """The plan of each stage, with keys of the recipe that are tried instead of what it says."""
    return plans.make(
        request.flags,
        tuple(map(Path, request.recipes)),
        stage=request.stage,
        tried=tried if request.recipes else None,  # without a recipe there is nothing to put a key into
        plan_file=Path(request.plan_file) if request.plan_file else None,
    )


def _reread(request: TraceRequest) -> Callable[[dict[str, str]], tuple[Plan, ...]]:
    return lambda tried: _plans(request, tried)


def _changed(request: TraceRequest, made: tuple[Plan, ...]) -> tuple[TraceRequest, tuple[Plan, ...]]:
    """The request with its changes made. Raises AnalyzerError for one that cannot be."""
    for text in request.tries:
        proposal = read_asked(text, _reread(request), SIDES)
        if proposal.impossible:
            raise AnalyzerError(str(proposal.impossible), hint="give --recipe")
        made = tuple(proposal.plan(plan) for plan in made)
        request = replace(request, inputs=str(proposal.inputs) if proposal.inputs else request.inputs)
    return request, made
