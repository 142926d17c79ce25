"""One ONNX network with what belongs to it: preprocessing, calibration, policies, findings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leadwise.calibration import Calibration
from leadwise.contract import ECGRecord
from leadwise.data.metadata import MetadataTransformer
from leadwise.policies import Policy, read_policies
from leadwise.serving.findings import Findings
from leadwise.signals.preprocessing import SignalPreprocessing
from leadwise.signals.resampling import resample
from leadwise.signals.stretches import stretch_count, stretches

if TYPE_CHECKING:
    import onnxruntime

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
            PolicyError: its decision holds no policies.
            CalibrationError: its decision holds no calibration.
        """
        signal, decision = description["preprocessing"]["signal"], description["decision"]
        statements = Findings.from_entries(description.get("statements", []))
        policies, policy = read_policies(decision)
        return cls(
            name=description["name"],
            session=open_session(file),
            signal=SignalPreprocessing.from_dict(signal) if signal else None,
            metadata=MetadataTransformer.from_dict(description["preprocessing"]["metadata"]),
            calibration=Calibration.from_dict(decision),
            policies=policies,
            policy=policy,
            findings=statements if statements.codes else None,
        )

    @property
    def outputs(self) -> list[str]:
        """What is asked of the session: one call gives everything that an answer needs."""
        return [SUPERCLASS_OUTPUT] if self.findings is None else [SUPERCLASS_OUTPUT, STATEMENT_OUTPUT]

    def answers(self, patient: Mapping[str, float | None], record: ECGRecord | None) -> dict[str, np.ndarray]:
        """Uncalibrated ``(class,)`` float32 of one record by output, averaged over its stretches."""
        return {name: values.mean(axis=0) for name, values in self.answers_by_stretch(patient, record).items()}

    def answers_by_stretch(
        self, patient: Mapping[str, float | None], record: ECGRecord | None, kept: Sequence[int] | None = None
    ) -> dict[str, np.ndarray]:
        """Uncalibrated ``(stretch, class)`` float32 of one record by output, each averaged over its windows.

        Args:
            patient: the facts.
            record: the recording; ``None`` for an answer from the facts alone, which is one stretch.
            kept: which stretches (see ``leadwise.signals.stretches``) are asked for; ``None``: all.
        """
        facts = self.metadata.transform_one(patient)
        if self.signal is None or record is None:
            return dict(zip(self.outputs, self.session.run(self.outputs, {"metadata": facts}), strict=True))
        at_rate = self.signal.standardise(resample(record.signal_mv, record.fs_hz, self.signal.fs_hz))
        count = stretch_count(len(record.signal_mv), record.fs_hz)
        parts = stretches(len(at_rate), self.signal.fs_hz, count)
        by_stretch = [self.signal.windows(at_rate[parts[k]]) for k in (range(count) if kept is None else kept)]
        found = self.ask(np.concatenate(by_stretch), facts)
        windows = len(by_stretch[0])
        return {name: values.reshape(-1, windows, values.shape[1]).mean(axis=1) for name, values in found.items()}

    def ask(self, windows: np.ndarray, facts: np.ndarray) -> dict[str, np.ndarray]:
        """Uncalibrated ``(window, class)`` by output.

        Args:
            windows: ``(window, time, 12)`` float32, standardised.
            facts: ``(1, feature)`` float32, the same for all windows.
        """
        batches = []
        for first in range(0, len(windows), WINDOWS_PER_BATCH):
            part = windows[first : first + WINDOWS_PER_BATCH]
            inputs = {"signal": part, "metadata": np.repeat(facts, len(part), axis=0)}
            batches.append(self.session.run(self.outputs, inputs))
        return {name: np.concatenate([batch[k] for batch in batches]) for k, name in enumerate(self.outputs)}


def open_session(file: Path) -> "onnxruntime.InferenceSession":
    """An ONNX Runtime session with one thread that does not spin: many requests share the cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
