"""The answer: probabilities, decisions and findings from ONNX sessions, with everything needed read from one folder."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leadwise.calibration import Calibration
from leadwise.contract import DISCLAIMER, SUPERCLASSES, ECGRecord
from leadwise.data.metadata import MetadataTransformer
from leadwise.serving.findings import Findings
from leadwise.serving.payload import Request, parse_row
from leadwise.signals.preprocessing import SignalPreprocessing
from leadwise.signals.resampling import resample

if TYPE_CHECKING:
    import onnxruntime

DESCRIPTION_FILE = "model.json"
SUPERCLASS_OUTPUT, STATEMENT_OUTPUT = "superclasses", "statements"
WINDOWS_PER_BATCH = 64


@dataclass(frozen=True)
class Network:
    """One ONNX network with what belongs to it.

    Attributes:
        name: ``metadata``, ``fusion`` or ``fusion_augmented``.
        session: the ONNX Runtime session; safe to use from several threads.
        signal: the signals' preprocessing; ``None`` for the metadata model.
        metadata: the metadata's preprocessing.
        calibration: of the superclasses.
        thresholds: ``(5,)`` calibrated probabilities at and above which a class is reported.
        findings: the statements that are told; ``None`` where there are none.
    """

    name: str
    session: "onnxruntime.InferenceSession"
    signal: SignalPreprocessing | None
    metadata: MetadataTransformer
    calibration: Calibration
    thresholds: np.ndarray
    findings: Findings | None

    @classmethod
    def load(cls, file: Path, description: Mapping[str, Any]) -> "Network":
        """Load one network by its entry under ``networks`` in ``model.json``."""
        signal, decision = description["preprocessing"]["signal"], description["decision"]
        statements = Findings.from_entries(description.get("statements", []))
        return cls(
            name=description["name"],
            session=open_session(file),
            signal=SignalPreprocessing.from_dict(signal) if signal else None,
            metadata=MetadataTransformer.from_dict(description["preprocessing"]["metadata"]),
            calibration=Calibration.from_dict(decision),
            thresholds=np.array([decision["thresholds"][name] for name in SUPERCLASSES]),
            findings=statements if statements.codes else None,
        )

    @property
    def outputs(self) -> list[str]:
        """What is asked of the session: one call gives everything that an answer needs."""
        return [SUPERCLASS_OUTPUT] if self.findings is None else [SUPERCLASS_OUTPUT, STATEMENT_OUTPUT]

    def answers(self, patient: Mapping[str, float | None], record: ECGRecord | None) -> dict[str, np.ndarray]:
        """Uncalibrated ``(class,)`` float32 of one record by output, averaged over its windows."""
        facts = self.metadata.transform_one(patient)
        if self.signal is None or record is None:
            found = self.session.run(self.outputs, {"metadata": facts})
            return {name: values[0] for name, values in zip(self.outputs, found, strict=True)}
        at_rate = resample(record.signal_mv, record.fs_hz, self.signal.fs_hz)
        windows = self.signal.windows(self.signal.standardise(at_rate))
        batches = []
        for first in range(0, len(windows), WINDOWS_PER_BATCH):
            part = windows[first : first + WINDOWS_PER_BATCH]
            inputs = {"signal": part, "metadata": np.repeat(facts, len(part), axis=0)}
            batches.append(self.session.run(self.outputs, inputs))
        return {
            name: np.concatenate([batch[k] for batch in batches]).mean(axis=0) for k, name in enumerate(self.outputs)
        }


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

    def score(self, rows: Iterable[Mapping[str, Any]], *, all_findings: bool = False) -> list[dict[str, Any]]:
        """One answer per row, ready for JSON. All rows are checked before the first is scored.

        Args:
            rows: of a request.
            all_findings: see ``answer``.

        Raises:
            PayloadError: a row cannot be answered; the message names row and field.
        """
        requests = [parse_row(row, number) for number, row in enumerate(rows)]
        return [self.answer(request, all_findings=all_findings) for request in requests]

    def answer(self, request: Request, *, all_findings: bool = False) -> dict[str, Any]:
        """The answer to one checked row.

        Args:
            request: the row.
            all_findings: list every trusted statement, those below their threshold as well.
        """
        network = self.fusion if request.recording else self.metadata
        record = request.recording.record if request.recording else None
        found = network.answers(request.patient, record)
        calibrated = network.calibration.apply(found[SUPERCLASS_OUTPUT])
        findings = network.findings.of(found[STATEMENT_OUTPUT], everything=all_findings) if network.findings else []
        warnings = list(request.warnings)
        if self.simulated:
            warnings.append("trained on simulated data: says nothing about a patient")
        return {
            "id": request.record_id,
            "model": network.name,
            "probabilities": _by_class(np.round(calibrated, 6).tolist()),
            "decisions": _by_class((calibrated >= network.thresholds).tolist()),
            "thresholds": _by_class(np.round(network.thresholds, 6).tolist()),
            "findings": findings,
            "warnings": warnings,
            "disclaimer": DISCLAIMER,
        }


def _by_class(values: list[Any]) -> dict[str, Any]:
    return dict(zip(SUPERCLASSES, values, strict=True))
