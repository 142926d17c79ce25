"""The scorer: rows of requests to answers, with everything needed read from one folder."""

import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leadwise.ecg.assessment import examine_many
from leadwise.serving.answer import PreparedRecord, answer_of
from leadwise.serving.envelope import RequestParams
from leadwise.serving.network import ModelInput, Network
from leadwise.serving.request import Answer, PayloadError, Request, parse_row, record_id_of

REGISTERED_FILE = "registered_model_meta"
"""Of MLflow, a YAML file: its ``ModelsArtifactRepository`` leaves it in the model's folder."""


@dataclass(frozen=True)
class RegisteredVersion:
    """A version in the registry.

    Attributes:
        name: of the registered model.
        version: as MLflow counts.
    """

    name: str
    version: str


def registered_version(model_folder: Path) -> RegisteredVersion | None:
    """The version that a model's folder was fetched as; ``None`` where it did not come from the registry."""
    import yaml

    try:
        content = yaml.safe_load((model_folder / REGISTERED_FILE).read_text(encoding="utf-8"))
        return RegisteredVersion(str(content["model_name"]), str(content["model_version"]))
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return None


DESCRIPTION_FILE = "model.json"
ANSWERED_TOGETHER = 16
"""Rows of a request that go through the network together; more did not make it faster."""
VALUES_TOGETHER = 2**20
"""Samples of all leads that are held for it, one long recording more or less: 17 of 10 s at 500 Hz."""


_under_way = threading.BoundedSemaphore(os.cpu_count() or 1)
"""More networks at work at once would only add to the memory that the sessions keep: that of all that ever were."""


def _begin_anew() -> None:
    """Whoever was at work when a process was forked is not there in its child."""
    global _under_way
    _under_way = threading.BoundedSemaphore(os.cpu_count() or 1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


@dataclass(frozen=True)
class Scorer:
    """Answers rows of requests; safe to use from several threads.

    Attributes:
        fusion: answers rows with a recording.
        metadata: answers rows without one.
        simulated: whether the networks were trained on simulated data.
        registered: the version in the registry; ``None`` where the package did not come from there.
        together: most rows that go through the network together.
        side_by_side: whether the networks work in a thread of their own while recordings are looked at; one after the
            other is faster where a process per processor scores.
    """

    fusion: Network
    metadata: Network
    simulated: bool
    registered: RegisteredVersion | None = None
    together: int = ANSWERED_TOGETHER
    side_by_side: bool = True

    @classmethod
    def load(cls, folder: Path, registered: RegisteredVersion | None = None) -> "Scorer":
        """Load a package folder: ``model.json`` and the ONNX files that it names."""
        description = json.loads((folder / DESCRIPTION_FILE).read_text(encoding="utf-8"))
        networks = {
            role: Network.load(folder / entry["file"], entry) for role, entry in description["networks"].items()
        }
        return cls(networks["fusion"], networks["metadata"], description["simulated"], registered)

    @property
    def policies(self) -> tuple[str, ...]:
        """What ``policy`` may be: those that both networks know."""
        return tuple(name for name in self.fusion.policies if name in self.metadata.policies)

    def score(
        self,
        rows: Iterable[Mapping[str, Any]],
        *,
        policy: str | None = None,
        explain: Sequence[str] = (),
        all_findings: bool = False,
    ) -> list[Answer]:
        """One answer per row, ready for JSON; a row that cannot be answered gets an ``error`` in its place.

        Args:
            rows: of a request; a few are read at a time.
            policy: one of ``policies``; ``None``: the one that the network prefers.
            explain: superclasses to explain.
            all_findings: list every trusted statement, those below their threshold as well.
        """
        return list(self.answers(rows, RequestParams(policy, tuple(explain), all_findings)))

    def answer_row(self, row: Mapping[str, Any], number: int, asked: RequestParams) -> Answer:
        """The answer to one row, or what is wrong with it."""
        return next(self.answers([row], asked, number))

    def answers(self, rows: Iterable[Mapping[str, Any]], asked: RequestParams, first: int = 0) -> Iterator[Answer]:
        """The answer to each row, or what is wrong with it; a few rows at a time are read and go through the network.

        Args:
            rows: of one request or of many.
            asked: what is asked beside the rows.
            first: the place of the first row in its request.
        """
        for group in _groups((_read(row, number) for number, row in enumerate(rows, first)), self.together):
            yield from self._answered(group, asked)

    def _answered(self, group: Sequence["ParsedRow"], asked: RequestParams) -> Iterator[Answer]:
        questions = [ModelInput(one.row.patient, one.row.record) for one in group if isinstance(one.row, Request)]
        if self.side_by_side:
            # A session lets go of Python's lock: while a network works, the recordings are looked at. The thread is
            # started anew each time, in 0.1 ms: one that is kept does not exist in a process forked off this one.
            with ThreadPoolExecutor(1) as thread:
                working = thread.submit(self._outputs, questions)
                cases = _cases(group)
                outputs = iter(working.result())
        else:
            cases, outputs = _cases(group), iter(self._outputs(questions))
        # Few recordings have anything taken out: they go through the network again, as they are to be scored.
        repaired = [case for case in cases if isinstance(case, PreparedRecord) and case.is_repaired]
        again = iter(self._outputs([ModelInput(case.request.patient, case.record) for case in repaired]))
        for one, case in zip(group, cases, strict=True):
            found = next(outputs) if isinstance(one.row, Request) else {}
            if isinstance(case, PreparedRecord):
                found = next(again) if case.is_repaired else found
                network = self.fusion if case.record else self.metadata
                yield self._signed(answer_of(case, network, case.scored(found), asked))
            else:
                yield case

    def _outputs(self, questions: Sequence[ModelInput]) -> list[Mapping[str, np.ndarray]]:
        """Of each row, uncalibrated ``(stretch, class)`` by output."""
        found: dict[int, Mapping[str, np.ndarray]] = {}
        for network, has_recording in ((self.fusion, True), (self.metadata, False)):
            theirs = [place for place, asked in enumerate(questions) if (asked.record is not None) is has_recording]
            if theirs:
                with _under_way:
                    answers = network.answers_of_many([questions[place] for place in theirs])
                found.update(zip(theirs, answers, strict=True))
        return [found[place] for place in range(len(questions))]

    def _signed(self, answer: Answer) -> Answer:
        """The answer with what is known of the networks as a whole."""
        if self.registered:
            answer |= {"registered_model": self.registered.name, "version": self.registered.version}
        if self.simulated:
            answer["warnings"].append("trained on simulated data: says nothing about a patient")
        return answer


@dataclass(frozen=True)
class ParsedRow:
    """A row that was read, or the error in its place."""

    number: int
    row: Request | Answer

    @property
    def values(self) -> int:
        """Samples of all leads."""
        record = self.row.record if isinstance(self.row, Request) else None
        return record.signal_mv.size if record else 0


def _read(row: Mapping[str, Any], number: int) -> ParsedRow:
    try:
        return ParsedRow(number, parse_row(row, number))
    except PayloadError as error:
        return ParsedRow(number, error.answer(record_id_of(row)))


def _groups(rows: Iterable[ParsedRow], most: int) -> Iterator[list[ParsedRow]]:
    group: list[ParsedRow] = []
    values = 0
    for row in rows:
        group.append(row)
        values += row.values
        if len(group) == most or values >= VALUES_TOGETHER:
            yield group
            group, values = [], 0
    if group:
        yield group


def _cases(group: Sequence[ParsedRow]) -> list[PreparedRecord | Answer]:
    """The recordings looked at; an error in the place of what is none."""
    requests = [one.row for one in group if isinstance(one.row, Request)]
    examined = iter(examine_many([request.recording for request in requests if request.recording]))
    cases: list[PreparedRecord | Answer] = []
    for one in group:
        if not isinstance(one.row, Request):
            cases.append(one.row)
            continue
        try:
            cases.append(PreparedRecord.of(one.row, next(examined) if one.row.recording else None, one.number))
        except PayloadError as error:
            cases.append(error.answer(one.row.record_id))
    return cases
