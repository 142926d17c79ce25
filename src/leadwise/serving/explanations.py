"""Why a served network gave a class its probability, ready for JSON."""

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from leadwise.contract import ECGRecord
from leadwise.ecg.record import resample
from leadwise.explain import Explainable, Explanation, Floats, Patient, explain_together
from leadwise.serving.values import LONGEST_EXPLAINED_S

if TYPE_CHECKING:
    from leadwise.serving.network import Network


def explanations_of(
    network: "Network", patient: Patient, record: ECGRecord | None, classes: Sequence[str]
) -> tuple[dict[str, Any], str]:
    """An explanation of each class, and a warning where none can be given.

    Args:
        network: the one that answered.
        patient: the facts of the request.
        record: the recording of the request, if there is one.
        classes: of ``SUPERCLASSES``.
    """
    if not classes:
        return {}, ""
    if network.signal is None or record is None:
        return {}, "not explained: only what a recording shows can be explained"
    if len(record.signal_mv) / record.fs_hz > LONGEST_EXPLAINED_S:
        return {}, f"not explained: longer than {LONGEST_EXPLAINED_S:g} s"
    signal_mv = resample(record.signal_mv, record.fs_hz, network.signal.fs_hz)
    needed = network.signal.window_samples
    if len(signal_mv) < needed:
        return {}, f"not explained: shorter than the network's window of {needed / network.signal.fs_hz:g} s"
    found = explain_together(explainable(network), signal_mv, patient, classes)
    return {explanation.superclass: _as_json(explanation) for explanation in found}, ""


def explainable(network: "Network") -> Explainable:
    """A served network, for ``leadwise.explain``.

    Raises:
        ValueError: it takes no recording.
    """
    signal = network.signal
    if signal is None:
        raise ValueError(f"{network.name}: takes no recording")

    def answers(windows_mv: Floats, patient: Patient) -> np.ndarray:
        return network.ask(signal.standardise(windows_mv), network.metadata.transform_one(patient))["superclasses"]

    return Explainable(answers, signal)


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
