"""The scorer: rows of requests to answers, with everything needed read from one folder."""

import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from leadwise.ecg.assessment import Assessment, assess_many
from leadwise.ecg.record import RecordingError
from leadwise.serving.answer import answer_of
from leadwise.serving.network import ModelInput, Network
from leadwise.serving.request import Answer, Request, parse_row, record_id_of, refused
from leadwise.serving.request_parsing import RequestParams

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


def read_description(folder: Path) -> dict[str, Any]:
    """What belongs to the networks in a package's folder: content of its ``model.json``."""
    content: dict[str, Any] = json.loads((folder / DESCRIPTION_FILE).read_text(encoding="utf-8"))
    return content


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
        description = read_description(folder)
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

    def answers(self, rows: Iterable[Mapping[str, Any]], asked: RequestParams) -> Iterator[Answer]:
        """The answer to each row, or what is wrong with it; a few rows at a time are read and go through the network.

        Args:
            rows: of one request or of many.
            asked: what is asked beside the rows.
        """
        yield from self._in_groups((_read(row, number) for number, row in enumerate(rows)), asked)

    def answers_to(self, requests: Iterable[Request], asked: RequestParams) -> Iterator[Answer]:
        """The same to recordings that were read elsewhere."""
        yield from self._in_groups(enumerate(requests), asked)

    def _in_groups(self, rows: "Iterable[ParsedRow]", asked: RequestParams) -> Iterator[Answer]:
        for group in _groups(rows, self.together):
            yield from self._answered(group, asked)

    def _answered(self, group: "Sequence[ParsedRow]", asked: RequestParams) -> Iterator[Answer]:
        requests = [row for _, row in group if isinstance(row, Request)]
        recordings = [request.recording for request in requests if request.recording]
        questions: list[ModelInput] = [(request.patient, request.record) for request in requests]
        if self.side_by_side:
            # A session lets go of Python's lock: while a network works, the recordings are looked at. The thread is
            # started anew each time, in 0.1 ms: one that is kept does not exist in a process forked off this one.
            with ThreadPoolExecutor(1) as thread:
                working = thread.submit(self._outputs, questions)
                looked_at, outputs = assess_many(recordings), iter(working.result())
        else:
            looked_at, outputs = assess_many(recordings), iter(self._outputs(questions))
        assessed = iter(looked_at)
        of_each = [next(assessed) if request.recording else None for request in requests]
        # Few recordings have anything taken out: they go through the network again, as they are to be scored.
        repaired = [
            (one.patient, seen.record) for one, seen in zip(requests, of_each, strict=True) if _goes_again(seen)
        ]
        again, seen_of = iter(self._outputs(repaired)), iter(of_each)
        for number, row in group:
            if not isinstance(row, Request):
                yield row
                continue
            seen, found = next(seen_of), next(outputs)
            found = next(again) if _goes_again(seen) else found
            try:
                answer = answer_of(row, seen, self.fusion if seen else self.metadata, found, asked)
            except RecordingError as error:
                yield refused(error, number, row.record_id)
            else:
                yield self._signed(answer)

    def _outputs(self, questions: Sequence[ModelInput]) -> list[Mapping[str, np.ndarray]]:
        """Of each row, uncalibrated ``(segment, class)`` by output."""
        found: dict[int, Mapping[str, np.ndarray]] = {}
        for network, has_recording in ((self.fusion, True), (self.metadata, False)):
            theirs = [place for place, (_, record) in enumerate(questions) if (record is not None) is has_recording]
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


ParsedRow = tuple[int, Request | Answer]
"""The place of a row in its request; and what was read, or the error in its place."""


def _read(row: Mapping[str, Any], number: int) -> ParsedRow:
    try:
        return number, parse_row(row)
    except RecordingError as error:
        return number, refused(error, number, record_id_of(row))


def _goes_again(assessed: Assessment | None) -> TypeGuard[Assessment]:
    """Whether the recording to be scored is not the one that was given."""
    return assessed is not None and assessed.repaired and bool(assessed.kept)


def _groups(rows: Iterable[ParsedRow], most: int) -> Iterator[list[ParsedRow]]:
    group: list[ParsedRow] = []
    values = 0
    for number, row in rows:
        group.append((number, row))
        values += row.record.signal_mv.size if isinstance(row, Request) and row.record else 0
        if len(group) == most or values >= VALUES_TOGETHER:
            yield group
            group, values = [], 0
    if group:
        yield group
