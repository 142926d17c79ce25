"""One ONNX network with what belongs to it: preprocessing, calibration, policies, findings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leadwise.contract import STATEMENTS, ECGRecord
from leadwise.datasets.metadata import MetadataTransformer
from leadwise.decision import Calibration, Policy, read_policies
from leadwise.ecg.preprocessing import SignalPreprocessing, segment_count, segments
from leadwise.ecg.record import resample

if TYPE_CHECKING:
    import onnxruntime


@dataclass(frozen=True)
class Findings:
    """The statements that are trusted, with what makes an answer of them.

    Which they are was decided when the network was evaluated; of the others the served model says nothing.

    Attributes:
        entries: of the statements in ``model.json``: ``code``, ``name``, ``group`` (``diagnostic``, ``form`` or
            ``rhythm``), ``slope``, ``intercept``, and ``threshold``, at and above which it is reported.
        rows: their places among the 71.
        calibration: of their probabilities.
        thresholds: of all entries.
    """

    entries: tuple[Mapping[str, Any], ...]
    rows: np.ndarray
    calibration: Calibration
    thresholds: np.ndarray

    @classmethod
    def from_entries(cls, entries: Sequence[Mapping[str, Any]]) -> "Findings":
        """Read ``statements`` of a network in ``model.json``: entries with ``trusted`` false are left out."""
        kept = tuple(entry for entry in entries if entry["trusted"])
        codes, slopes, intercepts = (tuple(entry[name] for entry in kept) for name in ("code", "slope", "intercept"))
        places = np.array([STATEMENTS.index(code) for code in codes], dtype=np.intp)
        thresholds = np.array([entry["threshold"] for entry in kept])
        return cls(kept, places, Calibration("per_class", slopes, intercepts, codes), thresholds)

    def of(self, probabilities: np.ndarray, *, everything: bool = False) -> list[dict[str, Any]]:
        """Reported statements, most probable first, ready for JSON.

        Args:
            probabilities: ``(71,)`` as the network gave them.
            everything: list every trusted statement, reported or not.
        """
        calibrated = self.calibration.apply(probabilities[self.rows])
        reported = calibrated >= self.thresholds
        order = np.argsort(-calibrated, kind="stable")
        return [
            {
                "code": self.entries[k]["code"],
                "description": self.entries[k]["name"],
                "group": self.entries[k]["group"],
                "probability": round(float(calibrated[k]), 6),
                "threshold": round(float(self.entries[k]["threshold"]), 6),
                "reported": bool(reported[k]),
            }
            for k in (order if everything else order[reported[order]])
        ]


SUPERCLASS_OUTPUT, STATEMENT_OUTPUT = "superclasses", "statements"
WINDOWS_PER_BATCH = 64


ModelInput = tuple[Mapping[str, float | None], ECGRecord | None]
"""The patient metadata and the recording; without one, the answer is of the metadata alone, and one segment."""


@dataclass(frozen=True)
class Network:
    """One ONNX network with what belongs to it.

    Attributes:
        name: ``metadata``, ``fusion`` or ``fusion_augmented``.
        session: the ONNX Runtime session; safe to use from several threads.
        signal: the signals' preprocessing; ``None`` for the metadata model.
        metadata: the metadata's preprocessing.
        calibration: of the superclasses.
        policies: how probabilities become answers, by name.
        policy: the name of the one that answers unless another is asked for.
        findings: the statements that are told; ``None`` where there are none.
    """

    name: str
    session: "onnxruntime.InferenceSession"
    signal: SignalPreprocessing | None
    metadata: MetadataTransformer
    calibration: Calibration
    policies: Mapping[str, Policy]
    policy: str
    findings: Findings | None

    @classmethod
    def load(cls, file: Path, description: Mapping[str, Any]) -> "Network":
        """Load one network by its entry under ``networks`` in ``model.json``.

        Raises:
            DecisionError: its decision holds no policies.
            DecisionError: its decision holds no calibration.
        """
        signal, decision = description["preprocessing"]["signal"], description["decision"]
        statements = Findings.from_entries(description.get("statements", []))
        policies, policy = read_policies(decision)
        return cls(
            name=description["name"],
            session=open_session(file),
            signal=SignalPreprocessing(**signal) if signal else None,
            metadata=MetadataTransformer.from_dict(description["preprocessing"]["metadata"]),
            calibration=Calibration.from_dict(decision),
            policies=policies,
            policy=policy,
            findings=statements if statements.entries else None,
        )

    @property
    def outputs(self) -> list[str]:
        """What is asked of the session: one call gives everything that an answer needs."""
        return [SUPERCLASS_OUTPUT] if self.findings is None else [SUPERCLASS_OUTPUT, STATEMENT_OUTPUT]

    def answers(self, patient: Mapping[str, float | None], record: ECGRecord | None) -> dict[str, np.ndarray]:
        """Uncalibrated ``(class,)`` float32 of one record by output, averaged over its segments."""
        (found,) = self.answers_of_many([(patient, record)])
        return {name: values.mean(axis=0) for name, values in found.items()}

    def answers_of_many(self, questions: Sequence[ModelInput]) -> list[dict[str, np.ndarray]]:
        """Of each record, uncalibrated ``(segment, class)`` float32 by output, each averaged over its windows.

        The windows of all records go through the session in as few calls as possible.
        """
        facts = self.metadata.transform_many([patient for patient, _ in questions])
        cut = [self._windows(record) for _, record in questions]
        answers: list[dict[str, np.ndarray]] = [{} for _ in questions]
        # What is shorter than a window is one window of its own length, and takes a call of its own.
        for shape in {windows.shape[2:] for windows in cut}:
            places = [place for place, windows in enumerate(cut) if windows.shape[2:] == shape]
            counts = [cut[place].shape[0] * cut[place].shape[1] for place in places]
            windows = [cut[place].reshape(count, *shape) for place, count in zip(places, counts, strict=True)]
            found = self.ask(np.concatenate(windows), np.repeat(facts[places], counts, axis=0))
            segments_of = [cut[place].shape[0] for place in places]
            by_segment = {
                name: _means(values, np.repeat([cut[place].shape[1] for place in places], segments_of))
                for name, values in found.items()
            }
            for place, end, count in zip(places, np.cumsum(segments_of).tolist(), segments_of, strict=True):
                answers[place] = {name: values[end - count : end] for name, values in by_segment.items()}
        return answers

    def _windows(self, record: ECGRecord | None) -> np.ndarray:
        """``(segment, window, time, 12)`` standardised; of a network without a signal ``(1, 1, 0)``."""
        if self.signal is None or record is None:
            return np.empty((1, 1, 0), dtype=np.float32)
        at_rate = self.signal.standardise(resample(record.signal_mv, record.fs_hz, self.signal.fs_hz))
        parts = segments(len(at_rate), self.signal.fs_hz, segment_count(len(record.signal_mv), record.fs_hz))
        cut = [self.signal.windows(at_rate[part]) for part in parts]
        return np.stack(cut) if len(cut) > 1 else cut[0][np.newaxis]

    def ask(self, windows: np.ndarray, facts: np.ndarray) -> dict[str, np.ndarray]:
        """Uncalibrated ``(window, class)`` by output.

        Args:
            windows: ``(window, time, 12)`` float32, standardised; ``(window, 0)`` for a network without a signal.
            facts: ``(window, feature)`` float32, or ``(1, feature)``, the same for all windows.
        """
        facts = np.repeat(facts, len(windows), axis=0) if len(facts) == 1 else facts
        batches = []
        for first in range(0, len(windows), WINDOWS_PER_BATCH):
            part = slice(first, first + WINDOWS_PER_BATCH)
            inputs = {"metadata": facts[part]} | ({"signal": windows[part]} if self.signal else {})
            batches.append(self.session.run(self.outputs, inputs))
        return {name: np.concatenate([batch[k] for batch in batches]) for k, name in enumerate(self.outputs)}


def _means(values: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Means ``(part, class)`` of the rows ``(row, class)``, of which each part has the next ``sizes[part]``."""
    if (sizes == sizes[0]).all():
        return np.asarray(values.reshape(len(sizes), sizes[0], -1).mean(axis=1))
    ends = np.cumsum(sizes)
    return np.stack([values[end - size : end].mean(axis=0) for end, size in zip(ends, sizes, strict=True)])


def open_session(file: Path) -> "onnxruntime.InferenceSession":
    """An ONNX Runtime session with one thread that does not spin: many requests share the cores."""
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
