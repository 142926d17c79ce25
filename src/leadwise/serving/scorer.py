"""The answer: probabilities, decisions, flags and findings, with everything needed read from one folder."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leadwise.contract import DISCLAIMER, SUPERCLASSES, ECGRecord
from leadwise.policies import Policy, is_uncertain
from leadwise.serving.explanations import explanations_of
from leadwise.serving.network import STATEMENT_OUTPUT, SUPERCLASS_OUTPUT, Network, Question
from leadwise.serving.parameters import Asked
from leadwise.serving.payload import PayloadError, Request, parse_row, record_id_of
from leadwise.serving.registered import RegisteredVersion
from leadwise.signals.examination import Examination, examine
from leadwise.signals.flags import Flag
from leadwise.signals.leads import RecordingCode, RecordingError

DESCRIPTION_FILE = "model.json"


@dataclass(frozen=True)
class Scorer:
    """Answers rows of requests; safe to use from several threads.

    Attributes:
        fusion: answers rows with a recording.
        metadata: answers rows without one.
        simulated: whether the networks were trained on simulated data.
        registered: the version in the registry; ``None`` where the package did not come from there.
    """

    fusion: Network
    metadata: Network
    simulated: bool
    registered: RegisteredVersion | None = None

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
    ) -> list[dict[str, Any]]:
        """One answer per row, ready for JSON; a row that cannot be answered gets an ``error`` in its place.

        Args:
            rows: of a request; each is read when those before it are answered.
            policy: one of ``policies``; ``None``: the one that the network prefers.
            explain: superclasses to explain.
            all_findings: list every trusted statement, those below their threshold as well.
        """
        asked = Asked(policy, tuple(explain), all_findings)
        return [self.answer_row(row, number, asked) for number, row in enumerate(rows)]

    def answer_row(self, row: Mapping[str, Any], number: int, asked: Asked) -> dict[str, Any]:
        """The answer to one row, or what is wrong with it."""
        return self.answer_rows([row], asked, number)[0]

    def answer_rows(self, rows: Sequence[Mapping[str, Any]], asked: Asked, first: int = 0) -> list[dict[str, Any]]:
        """The answers to some rows, or what is wrong with them, with as few calls of the networks as possible.

        Args:
            rows: all of them are held in memory.
            asked: what is asked beside the rows.
            first: the position of the first row in the request.
        """
        answers: list[dict[str, Any]] = [{} for _ in rows]
        prepared: dict[int, _Prepared] = {}
        for place, row in enumerate(rows):
            try:
                prepared[place] = _prepare(parse_row(row, first + place), first + place)
            except PayloadError as error:
                told = {"code": error.code, "field": error.field, "message": str(error), "row": error.row}
                answers[place] = {"id": record_id_of(row), "error": told}
        for network in (self.fusion, self.metadata):
            places = [place for place, one in prepared.items() if (one.record is not None) is (network is self.fusion)]
            if not places:
                continue
            for place, found in zip(
                places, network.answers_of_many([prepared[place].question for place in places]), strict=True
            ):
                answers[place] = self._told(network, prepared[place], found, asked)
        return answers

    def _told(
        self, network: Network, prepared: "_Prepared", found: Mapping[str, np.ndarray], asked: Asked
    ) -> dict[str, Any]:
        """What the network found as an answer."""
        request, examined = prepared.request, prepared.examined
        name = asked.policy or network.policy
        policy = network.policies[name]
        warnings = list(prepared.warnings)
        explanations, why_not = explanations_of(network, request.patient, prepared.record, asked.explain)
        if why_not:
            warnings.append(why_not)
        if self.simulated:
            warnings.append("trained on simulated data: says nothing about a patient")
        calibrated = network.calibration.apply(found[SUPERCLASS_OUTPUT])
        whole = network.calibration.apply(found[SUPERCLASS_OUTPUT].mean(axis=0))
        return {
            "id": request.record_id,
            "model": network.name,
            "registered_model": self.registered.name if self.registered else None,
            "version": self.registered.version if self.registered else None,
            "policy": name,
            **_decided(whole, policy),
            "thresholds": _by_class(np.round(policy.limits(), 6)),
            "findings": network.findings.of(found[STATEMENT_OUTPUT].mean(axis=0), everything=asked.all_findings)
            if network.findings
            else [],
            "windows": _windows(examined, calibrated, policy) if examined and len(examined.times_s) > 1 else [],
            "explanations": explanations,
            "quality": _told(examined.flags) if examined else [],
            "warnings": warnings,
            "disclaimer": DISCLAIMER,
        }


@dataclass(frozen=True)
class _Prepared:
    """A row that was read, and found to be an ECG if it has a recording."""

    request: Request
    examined: Examination | None
    warnings: tuple[str, ...]

    @property
    def record(self) -> ECGRecord | None:
        return self.request.recording.record if self.request.recording else None

    @property
    def question(self) -> Question:
        return Question(self.request.patient, self.record, self.examined.kept if self.examined else None)


def _prepare(request: Request, number: int) -> _Prepared:
    """Look at the recording.

    Raises:
        PayloadError: it is no ECG.
    """
    if request.recording is None:
        return _Prepared(request, None, request.warnings)
    examined = examine(request.recording)
    try:
        return _Prepared(request, examined, (*request.warnings, *_left_out(examined)))
    except RecordingError as error:
        raise PayloadError(number, error.field, error.problem, error.code) from None


def _left_out(examined: Examination) -> list[str]:
    """Warnings about stretches that are no ECG.

    Raises:
        RecordingError: none of them is one.
    """
    if not examined.kept:
        code: RecordingCode = "flat_line" if "flat line" in examined.no_ecg[0] else "not_an_ecg"
        raise RecordingError("signal", examined.no_ecg[0], code)
    return [
        f"{start:g} to {end:g} s left out: {reason}"
        for (start, end), reason in zip(examined.times_s, examined.no_ecg, strict=True)
        if reason
    ]


def _windows(examined: Examination, calibrated: np.ndarray, policy: Policy) -> list[dict[str, Any]]:
    """The answer to each stretch of 10 s; one that is no ECG has ``None`` for its probabilities."""
    answers = iter(calibrated)
    told = []
    for (start, end), reason, flags in zip(examined.times_s, examined.no_ecg, examined.stretch_flags, strict=True):
        nothing = {"probabilities": None, "decisions": None, "uncertain": None}
        decided = nothing if reason else _decided(next(answers), policy)
        told.append({"start_s": start, "end_s": end, **decided, "quality": _told(flags)})
    return told


def _decided(calibrated: np.ndarray, policy: Policy) -> dict[str, Any]:
    return {
        "probabilities": _by_class(np.round(calibrated, 6)),
        "decisions": _by_class(calibrated >= policy.limits()),
        "uncertain": _by_class(is_uncertain(calibrated, policy.bands())),
    }


def _told(flags: Sequence[Flag]) -> list[dict[str, Any]]:
    return [{"flag": flag.name, "leads": list(flag.leads), "detail": flag.detail} for flag in flags]


def _by_class(values: np.ndarray) -> dict[str, Any]:
    return dict(zip(SUPERCLASSES, values.tolist(), strict=True))
