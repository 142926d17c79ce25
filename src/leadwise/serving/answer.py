"""One answer, ready for JSON: what the network gave, calibrated, decided by a policy, with flags and warnings."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from leadwise.contract import DISCLAIMER, SUPERCLASSES, ECGRecord
from leadwise.ecg.assessment import Assessment
from leadwise.ecg.flags import Flag
from leadwise.ecg.leads import RecordingError
from leadwise.ecg.record import resample
from leadwise.explain import Explainable, Explanation, Floats, Patient, explain_together
from leadwise.policies import Policy, is_uncertain
from leadwise.serving.doubt import doubted, out_of_scope, reasons
from leadwise.serving.network import STATEMENT_OUTPUT, SUPERCLASS_OUTPUT, Network
from leadwise.serving.request import Answer, Request
from leadwise.serving.request_parsing import RequestParams
from leadwise.serving.values import LONGEST_EXPLAINED_S


def answer_of(
    request: Request,
    assessed: Assessment | None,
    network: Network,
    found: Mapping[str, np.ndarray],
    asked: RequestParams,
) -> Answer:
    """What the network found, as an answer; its version in the registry is not in it.

    Args:
        request: the row.
        assessed: its recording, looked at; ``None`` where there is none.
        network: the one that was asked.
        found: uncalibrated ``(segment, class)`` by output.
        asked: what was asked beside the rows.

    Raises:
        RecordingError: the recording is no ECG.
    """
    notes: list[str] = []
    record = None
    if assessed:
        notes = [*_left_out(assessed), *reasons(assessed)]
        record = assessed.record
        found = {name: values[assessed.kept] for name, values in found.items()}
    name = asked.policy or network.policy
    policy = network.policies[name]
    explanations, why_not = explanations_of(network, request.patient, record, asked.explain)
    statements = network.findings
    return {
        "id": request.record_id,
        "model": network.name,
        "registered_model": None,
        "version": None,
        "policy": name,
        **_decided(network.calibration.apply(found[SUPERCLASS_OUTPUT].mean(axis=0)), policy, assessed),
        "thresholds": _by_class(np.round(policy.limits(), 6)),
        "findings": statements.of(found[STATEMENT_OUTPUT].mean(axis=0), everything=asked.all_findings)
        if statements
        else [],
        "windows": _windows(assessed, network.calibration.apply(found[SUPERCLASS_OUTPUT]), policy)
        if assessed and len(assessed.times_s) > 1
        else [],
        "explanations": explanations,
        "quality": _flags(assessed.flags) if assessed else [],
        "warnings": [
            *request.warnings,
            *notes,
            *out_of_scope(assessed, request.patient.get("age")),
            *filter(None, [why_not]),
        ],
        "disclaimer": DISCLAIMER,
    }


def _left_out(assessed: Assessment) -> list[str]:
    """Warnings about segments that are no ECG.

    Raises:
        RecordingError: none of them is one.
    """
    if not assessed.kept:
        reason = assessed.non_ecg[0]
        raise RecordingError("signal", reason, "flat_line" if "flat line" in reason else "not_an_ecg")
    return [
        f"{start:g} to {end:g} s left out: {reason}"
        for (start, end), reason in zip(assessed.times_s, assessed.non_ecg, strict=True)
        if reason
    ]


def _windows(assessed: Assessment, calibrated: np.ndarray, policy: Policy) -> list[dict[str, Any]]:
    """The answer to each segment of 10 s; one that is no ECG has ``None`` for its probabilities."""
    answers = iter(calibrated)
    told = []
    for (start, end), reason, flags in zip(assessed.times_s, assessed.non_ecg, assessed.segment_flags, strict=True):
        nothing = {"probabilities": None, "decisions": None, "uncertain": None}
        decided = nothing if reason else _decided(next(answers), policy, assessed)
        told.append({"start_s": start, "end_s": end, **decided, "quality": _flags(flags)})
    return told


def _decided(calibrated: np.ndarray, policy: Policy, assessed: Assessment | None) -> dict[str, Any]:
    uncertain = is_uncertain(calibrated, policy.bands())
    return {
        "probabilities": _by_class(np.round(calibrated, 6)),
        "decisions": _by_class(calibrated >= policy.limits()),
        "uncertain": _by_class(uncertain | doubted(assessed, calibrated) if assessed else uncertain),
    }


def _flags(flags: Sequence[Flag]) -> list[dict[str, Any]]:
    return [{"flag": flag.name, "leads": list(flag.leads), "detail": flag.detail} for flag in flags]


def _by_class(values: np.ndarray) -> dict[str, Any]:
    return dict(zip(SUPERCLASSES, values.tolist(), strict=True))


def explanations_of(
    network: Network, patient: Patient, record: ECGRecord | None, classes: Sequence[str]
) -> tuple[dict[str, Any], str]:
    """An explanation of each class, ready for JSON, and a warning where none can be given.

    Args:
        network: the one that answered.
        patient: the patient metadata of the request.
        record: the recording of the request, if there is one.
        classes: of ``SUPERCLASSES``.
    """
    if not classes:
        return {}, ""
    signal = network.signal
    if signal is None or record is None:
        return {}, "not explained: only what a recording shows can be explained"
    if len(record.signal_mv) / record.fs_hz > LONGEST_EXPLAINED_S:
        return {}, f"not explained: longer than {LONGEST_EXPLAINED_S:g} s"
    signal_mv, needed = resample(record.signal_mv, record.fs_hz, signal.fs_hz), signal.window_samples
    if len(signal_mv) < needed:
        return {}, f"not explained: shorter than the network's window of {needed / signal.fs_hz:g} s"

    def answers(windows_mv: Floats, patient: Patient) -> np.ndarray:
        return network.ask(signal.standardise(windows_mv), network.metadata.transform_one(patient))[SUPERCLASS_OUTPUT]

    found = explain_together(Explainable(answers, signal), signal_mv, patient, classes)
    return {explanation.superclass: _as_json(explanation) for explanation in found}, ""


def _as_json(explanation: Explanation) -> dict[str, Any]:
    attribution = np.ascontiguousarray(explanation.attribution, dtype="<f4")
    return {
        "method": explanation.method,
        "effects": {
            wave: {lead: round(effect, 4) for lead, effect in leads.items()}
            for wave, leads in explanation.effects.items()
        },
        "attribution": {
            "data": base64.b64encode(attribution.tobytes()).decode("ascii"),
            "dtype": "float32",
            "shape": list(attribution.shape),
            "order": "time_lead",
            "fs_hz": explanation.fs_hz,
        },
    }


def explanation_told(answer: Mapping[str, Any], superclass: str) -> Explanation | None:
    """The explanation of a class out of an answer, for drawing; ``None`` where the answer holds none."""
    told = answer.get("explanations", {}).get(superclass)
    if told is None:
        return None
    coded = told["attribution"]
    attribution = np.frombuffer(base64.b64decode(coded["data"]), "<f4").reshape(coded["shape"])
    probability = float(answer["probabilities"][superclass])
    return Explanation(superclass, told["method"], probability, attribution, float(coded["fs_hz"]), told["effects"])
