"""One answer, ready for JSON: what the network gave, calibrated, decided by a policy, with flags and warnings."""

import base64
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leadwise.contract import DISCLAIMER, SUPERCLASSES, ECGRecord
from leadwise.decision import Policy, is_uncertain
from leadwise.ecg.assessment import Assessment
from leadwise.ecg.faults import FEWEST_BEATS
from leadwise.ecg.quality import Flag
from leadwise.ecg.record import RecordingError, resample
from leadwise.explain import Explainable, Explanation, Floats, Patient, explain_together
from leadwise.serving.network import STATEMENT_OUTPUT, SUPERCLASS_OUTPUT, Network
from leadwise.serving.request import Answer, Request
from leadwise.serving.request_parsing import LONGEST_EXPLAINED_S, RequestParams


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


TABLE_FILE = Path(__file__).with_name("leads_off.json")
"""Which classes depend on which leads; ``benchmarks/leads_off.py`` measures it."""
UNSURE_AFTER_WANDER = (0.03, 0.97)
"""Of 150 recordings of fold 9 with 3 mV of wander that was taken out again, none has a probability outside that moved
by more than 0.05."""


def doubted(assessed: Assessment, calibrated: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Classes ``(..., class)`` that are uncertain because of what is wrong with the recording.

    Args:
        assessed: the recording, looked at.
        calibrated: ``(..., class)`` probabilities.
    """
    names, (low, high) = {flag.name for flag in assessed.flags}, UNSURE_AFTER_WANDER
    unsure = (calibrated > low) & (calibrated < high) & ("baseline_wander" in names)
    return unsure | np.isin(SUPERCLASSES, dependent_classes(assessed.silent)) | ("scaled_lead_by_lead" in names)


def reasons(assessed: Assessment) -> list[str]:
    """Why classes are uncertain, in words; none where the recording is no reason."""
    told = []
    if classes := dependent_classes(assessed.silent):
        told.append(f"{', '.join(assessed.silent)} show nothing, so these are uncertain: {', '.join(classes)}")
    names = {flag.name for flag in assessed.flags}
    if "scaled_lead_by_lead" in names:
        # Of 400 recordings of fold 9 whose leads were scaled to 1 mV, 5 to 12 % of the decisions of every class change,
        # and the AUROC of HYP falls by 0.18, that of the others by 0.01 to 0.03.
        told.append("the leads were scaled one by one, HYP is read off their size: every class is uncertain")
    if "baseline_wander" in names:
        low, high = UNSURE_AFTER_WANDER
        told.append(
            f"the baseline was taken out, which can change a probability: those from {low:g} to {high:g} are uncertain"
        )
    return told


ADULT, SHORT_S, LONG_S = 18, 8, 60


def out_of_scope(assessed: Assessment | None, age: float | None) -> list[str]:
    """What the networks were not made for, in words.

    Args:
        assessed: the recording, looked at; ``None`` where there is none.
        age: in years; ``None``: unknown.
    """
    told = []
    if age is not None and age < ADULT:
        told.append(f"{age:g} years old: the networks were trained on adults; of a child's ECG they know little")
    if assessed is None:
        return told
    seconds = max(end for _, end in assessed.times_s)
    if seconds < SHORT_S:
        told.append(f"{seconds:.3g} s long: the networks were trained on 10 s, and below {SHORT_S} s they know less")
    if seconds > LONG_S:
        told.append(
            f"{seconds:.4g} s long: the answer is the mean over {len(assessed.kept)} of its {len(assessed.times_s)} "
            "parts of 10 s; what happens in few of them may be lost"
        )
    if assessed.pacing_spikes >= FEWEST_SPIKES:
        told.append(f"{assessed.pacing_spikes} spikes as of a pacemaker: paced beats look like bundle branch blocks")
    if assessed.beats < FEWEST_BEATS:
        told.append(f"{assessed.beats} heart beats were found: fewer than {FEWEST_BEATS} say little")
    return told


FEWEST_SPIKES = 3


def dependent_classes(silent: Sequence[str]) -> tuple[str, ...]:
    """The classes that depend on some of these leads, or on two of them together; in the order of ``SUPERCLASSES``."""
    if not silent:
        return ()
    gone = frozenset(silent)
    found = {name for leads, classes in _table() if leads <= gone for name in classes}
    return tuple(name for name in SUPERCLASSES if name in found)


@cache
def _table() -> tuple[tuple[frozenset[str], tuple[str, ...]], ...]:
    content = json.loads(TABLE_FILE.read_text(encoding="utf-8"))
    return tuple((frozenset(entry["leads"]), tuple(entry["uncertain"])) for entry in content["silent"])
