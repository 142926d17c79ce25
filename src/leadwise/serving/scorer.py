"""The answer: probabilities and decisions from ONNX sessions, with everything needed read from one folder."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leadwise.contract import DISCLAIMER, SUPERCLASSES, ECGRecord
from leadwise.data.metadata import MetadataTransformer
from leadwise.serving.payload import Request, parse_row
from leadwise.signals.preprocessing import SignalPreprocessing
from leadwise.signals.resampling import resample

if TYPE_CHECKING:
    import onnxruntime

DESCRIPTION_FILE = "model.json"
OUTPUT = "superclasses"
WINDOWS_PER_BATCH = 64
SMALLEST_PROBABILITY = 1e-7
"""Probabilities are kept this far from 0 and 1 before calibration, as when the temperature was fitted."""


@dataclass(frozen=True)
class Network:
    """One ONNX network with what belongs to it.

    Attributes:
        name: ``metadata``, ``fusion`` or ``fusion_augmented``.
        session: the ONNX Runtime session; safe to use from several threads.
        signal: the signals' preprocessing; ``None`` for the metadata model.
        metadata: the metadata's preprocessing.
        temperature: divides the logits.
        thresholds: ``(5,)`` calibrated probabilities at and above which a class is reported.
    """

    name: str
    session: "onnxruntime.InferenceSession"
    signal: SignalPreprocessing | None
    metadata: MetadataTransformer
    temperature: float
    thresholds: np.ndarray

    @classmethod
    def load(cls, file: Path, description: Mapping[str, Any]) -> "Network":
        """Load one network by its entry under ``networks`` in ``model.json``."""
        signal, decision = description["preprocessing"]["signal"], description["decision"]
        return cls(
            name=description["name"],
            session=open_session(file),
            signal=SignalPreprocessing.from_dict(signal) if signal else None,
            metadata=MetadataTransformer.from_dict(description["preprocessing"]["metadata"]),
            temperature=decision["temperature"],
            thresholds=np.array([decision["thresholds"][name] for name in SUPERCLASSES]),
        )

    def probabilities(self, patient: Mapping[str, float | None], record: ECGRecord | None) -> np.ndarray:
        """Uncalibrated ``(5,)`` float32 of one record, averaged over its windows."""
        facts = self.metadata.transform(pd.DataFrame([dict(patient)]))
        if self.signal is None or record is None:
            return np.asarray(self.session.run([OUTPUT], {"metadata": facts})[0][0])
        at_rate = resample(record.signal_mv, record.fs_hz, self.signal.fs_hz)
        windows = self.signal.windows(self.signal.standardise(at_rate))
        answers = []
        for first in range(0, len(windows), WINDOWS_PER_BATCH):
            part = windows[first : first + WINDOWS_PER_BATCH]
            inputs = {"signal": part, "metadata": np.repeat(facts, len(part), axis=0)}
            answers.append(self.session.run([OUTPUT], inputs)[0])
        return np.asarray(np.concatenate(answers).mean(axis=0))

    def calibrate(self, probabilities: np.ndarray) -> np.ndarray:
        """Temperature scaling (Guo et al. 2017) of probabilities, any shape."""
        p = np.clip(probabilities.astype(np.float64), SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
        return np.asarray(1 / (1 + np.exp(-(np.log(p) - np.log1p(-p)) / self.temperature)))


def open_session(file: Path) -> "onnxruntime.InferenceSession":
    """An ONNX Runtime session with one thread that does not spin: many requests share the cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


@dataclass(frozen=True)
class Scorer:
    """Answers rows of requests; safe to use from several threads.

    Attributes:
        fusion: answers rows with a recording.
        metadata: answers rows without one.
        simulated: whether the networks were trained on simulated data.
    """

    fusion: Network
    metadata: Network
    simulated: bool

    @classmethod
    def load(cls, folder: Path) -> "Scorer":
        """Load a package folder: ``model.json`` and the ONNX files that it names."""
        description = json.loads((folder / DESCRIPTION_FILE).read_text(encoding="utf-8"))
        networks = {
            role: Network.load(folder / entry["file"], entry) for role, entry in description["networks"].items()
        }
        return cls(networks["fusion"], networks["metadata"], description["simulated"])

    def score(self, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """One answer per row, ready for JSON. All rows are checked before the first is scored.

        Raises:
            PayloadError: a row cannot be answered; the message names row and field.
        """
        requests = [parse_row(row, number) for number, row in enumerate(rows)]
        return [self.answer(request) for request in requests]

    def answer(self, request: Request) -> dict[str, Any]:
        """The answer to one checked row."""
        network = self.fusion if request.recording else self.metadata
        record = request.recording.record if request.recording else None
        calibrated = network.calibrate(network.probabilities(request.patient, record))
        warnings = list(request.warnings)
        if self.simulated:
            warnings.append("trained on simulated data: says nothing about a patient")
        return {
            "id": request.record_id,
            "model": network.name,
            "probabilities": _by_class(np.round(calibrated, 6).tolist()),
            "decisions": _by_class((calibrated >= network.thresholds).tolist()),
            "thresholds": _by_class(np.round(network.thresholds, 6).tolist()),
            "warnings": warnings,
            "disclaimer": DISCLAIMER,
        }


def _by_class(values: list[Any]) -> dict[str, Any]:
    return dict(zip(SUPERCLASSES, values, strict=True))
