"""One answer, ready for JSON: what the network gave, calibrated, decided by a policy, with flags and warnings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leadwise.contract import DISCLAIMER, SUPERCLASSES, ECGRecord
from leadwise.ecg.assessment import Examination
from leadwise.ecg.flags import Flag
from leadwise.ecg.leads import RecordingCode, RecordingError
from leadwise.policies import Policy, is_uncertain
from leadwise.serving.doubt import doubted, out_of_scope, reasons
from leadwise.serving.envelope import RequestParams
from leadwise.serving.explanations import explanations_of
from leadwise.serving.network import STATEMENT_OUTPUT, SUPERCLASS_OUTPUT, Network
from leadwise.serving.request import Answer, PayloadError, Request


@dataclass(frozen=True)
class PreparedRecord:
    """A row that was read, and found to be an ECG if it has a recording.

    Attributes:
        request: the row.
        examined: the recording, looked at; ``None`` where there is none.
        warnings: what the caller should know.
    """

    request: Request
    examined: Examination | None
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, request: Request, examined: Examination | None, number: int) -> "PreparedRecord":
        """Judge what was looked at; ``number`` is the row's place in the request.

        Raises:
            PayloadError: the recording is no ECG.
        """
        try:
            left_out = _left_out(examined) if examined else []
        except RecordingError as error:
            raise PayloadError(number, error.field, error.problem, error.code) from None
        beyond = out_of_scope(examined, request.patient.get("age"))
        return cls(request, examined, (*request.warnings, *left_out, *beyond))

    @property
    def record(self) -> ECGRecord | None:
        """The recording, without what was taken out."""
        return self.examined.record if self.examined else None

    @property
    def is_repaired(self) -> bool:
        """Whether the recording to be scored is not the one that was given."""
        return self.examined is not None and self.examined.repaired

    def scored(self, outputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Of ``(stretch, class)`` by output the stretches that are an ECG."""
        if not self.examined:
            return outputs
        kept = self.examined.kept
        return {name: values[kept] for name, values in outputs.items()}


def answer_of(case: PreparedRecord, network: Network, found: Mapping[str, np.ndarray], asked: RequestParams) -> Answer:
    """What the network found, as an answer; its version in the registry is not in it.

    Args:
        case: the row.
        network: the one that was asked.
        found: uncalibrated ``(stretch, class)`` by output, of the stretches that are an ECG.
        asked: what was asked beside the rows.
    """
    name = asked.policy or network.policy
    policy = network.policies[name]
    explanations, why_not = explanations_of(network, case.request.patient, case.record, asked.explain)
    whole = network.calibration.apply(found[SUPERCLASS_OUTPUT].mean(axis=0))
    statements = network.findings
    return {
        "id": case.request.record_id,
        "model": network.name,
        "registered_model": None,
        "version": None,
        "policy": name,
        **_decided(whole, policy, case.examined),
        "thresholds": _by_class(np.round(policy.limits(), 6)),
        "findings": statements.of(found[STATEMENT_OUTPUT].mean(axis=0), everything=asked.all_findings)
        if statements
        else [],
        "windows": _windows(case.examined, network.calibration.apply(found[SUPERCLASS_OUTPUT]), policy)
        if case.examined and len(case.examined.times_s) > 1
        else [],
        "explanations": explanations,
        "quality": _flags(case.examined.flags) if case.examined else [],
        "warnings": [*case.warnings, *(reasons(case.examined) if case.examined else []), *filter(None, [why_not])],
        "disclaimer": DISCLAIMER,
    }


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
        decided = nothing if reason else _decided(next(answers), policy, examined)
        told.append({"start_s": start, "end_s": end, **decided, "quality": _flags(flags)})
    return told


def _decided(calibrated: np.ndarray, policy: Policy, examined: Examination | None) -> dict[str, Any]:
    uncertain = is_uncertain(calibrated, policy.bands())
    return {
        "probabilities": _by_class(np.round(calibrated, 6)),
        "decisions": _by_class(calibrated >= policy.limits()),
        "uncertain": _by_class(uncertain | doubted(examined, calibrated) if examined else uncertain),
    }


def _flags(flags: Sequence[Flag]) -> list[dict[str, Any]]:
    return [{"flag": flag.name, "leads": list(flag.leads), "detail": flag.detail} for flag in flags]


def _by_class(values: np.ndarray) -> dict[str, Any]:
    return dict(zip(SUPERCLASSES, values.tolist(), strict=True))
