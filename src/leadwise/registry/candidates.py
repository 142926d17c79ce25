"""What the train and evaluate stages left: which fusion model is the better one, and whether it may be served."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leadwise.config import Parameters
from leadwise.contract import LEAKING_FEATURES, SUPERCLASSES, LeadwiseError
from leadwise.evaluation.files import POLICIES_FILE
from leadwise.models.spec import MODELS


class CandidateError(LeadwiseError):
    """There is no model that can be registered; the message says what is missing or not allowed."""


@dataclass(frozen=True)
class Candidate:
    """One trained and evaluated model.

    Attributes:
        name: the model's name.
        folder: its folder of the train stage.
        evaluation: its folder of the evaluate stage.
        training: content of ``training.json``.
        validation: its validation metrics, without those that fold 9 leaves undefined.
        preprocessing: content of ``preprocessing.json``.
        decision: content of ``decision.json``.
        metrics: the defined metrics of ``metrics.json``.
    """

    name: str
    folder: Path
    evaluation: Path
    training: Mapping[str, Any]
    validation: Mapping[str, float]
    preprocessing: Mapping[str, Any]
    decision: Mapping[str, Any]
    metrics: Mapping[str, float]


def choose_candidates(parameters: Parameters) -> tuple[Candidate, Candidate]:
    """The best model by ``monitor`` on fold 9 of those that see the recording, and of those that do not.

    Raises:
        CandidateError: a model is absent or not evaluated, the two saw different data, or an input of theirs leaks the
            diagnosis.
    """
    shared = parameters.shared
    fusion, metadata = (
        max(_trained(parameters, sees_signal), key=lambda candidate: _score(candidate, shared.monitor))
        for sees_signal in (True, False)
    )
    for candidate in (fusion, metadata):
        refuse_leaks(candidate)
    if fusion.training["digest"] != metadata.training["digest"]:
        raise CandidateError(
            f"{fusion.name} was trained on data {fusion.training['digest'][:12]}, {metadata.name} on "
            f"{metadata.training['digest'][:12]}; train both on the same data"
        )
    return fusion, metadata


def refuse_leaks(candidate: Candidate) -> None:
    """A feature that is read off the diagnosis is never an input of a served model.

    Raises:
        CandidateError: the candidate has such an input.
    """
    if leaks := sorted(LEAKING_FEATURES & set(candidate.preprocessing["metadata"]["features"])):
        raise CandidateError(
            f"feature-set: {candidate.name} was trained on {candidate.training['feature_set']!r}, whose inputs "
            f"{', '.join(leaks)} are read off the diagnosis; only clinical is registered"
        )


def _trained(parameters: Parameters, sees_signal: bool) -> list[Candidate]:
    """The trained models that see the recording, or those that do not.

    Raises:
        CandidateError: there is none, or one is not evaluated.
    """
    names = [spec.name for spec in MODELS.values() if spec.sees_signal == sees_signal]
    trained = [name for name in names if (_model_folder(parameters, name) / "training.json").is_file()]
    if not trained:
        shared = parameters.shared
        raise CandidateError(
            f"{shared.workspace / 'models' / shared.feature_set}: none of {', '.join(names)} is trained there; run the "
            "train stage first"
        )
    return [_read(parameters, name) for name in trained]


def _model_folder(parameters: Parameters, name: str) -> Path:
    return parameters.shared.workspace / "models" / parameters.shared.feature_set / name


def _read(parameters: Parameters, name: str) -> Candidate:
    folder = _model_folder(parameters, name)
    evaluation = parameters.shared.workspace / "evaluation" / parameters.shared.feature_set / name
    training = _read_json(folder / "training.json", "train")
    metrics = _read_json(evaluation / "metrics.json", "evaluate")
    return Candidate(
        name=name,
        folder=folder,
        evaluation=evaluation,
        training=training,
        validation={key: value for key, value in training["validation"].items() if math.isfinite(value)},
        preprocessing=_read_json(folder / "preprocessing.json", "train"),
        decision=_read_json(evaluation / "decision.json", "evaluate"),
        metrics={key: value for key, value in metrics["metrics"].items() if value is not None},
    )


def _read_json(file: Path, stage: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CandidateError(f"{file}: absent or unreadable ({error}); run the {stage} stage first") from None
    return content


def _score(candidate: Candidate, monitor: str) -> float:
    if monitor not in candidate.validation:
        raise CandidateError(
            f"monitor: {candidate.name} has no {monitor} on fold 9; it has {', '.join(sorted(candidate.validation))}"
        )
    return candidate.validation[monitor]


MEASURES: tuple[str, ...] = ("sensitivity", "specificity")


def read_policy_rates(evaluation: Path) -> dict[str, Any]:
    """policy -> measure -> class -> value and its 95 % bounds; nothing where the evaluation does not tell.

    Args:
        evaluation: folder of the evaluate stage of one model.
    """
    file = evaluation / POLICIES_FILE
    if not file.is_file():
        return {}
    content = json.loads(file.read_text(encoding="utf-8"))
    metrics, intervals = content["metrics"], content["intervals"]
    return {
        policy: {
            measure: {
                name: [metrics.get(key), *intervals.get(key, [None, None])]
                for name in SUPERCLASSES
                for key in (f"test/decision/{policy}/{measure}/{name}",)
            }
            for measure in MEASURES
        }
        for policy in content["rules"]
    }
