"""Distillation: networks that are trained first, and the mean of their answers as what another learns from.

Hinton et al. 2015; for networks of the same size, Furlanello et al. 2018 (born-again networks). The teachers are
networks of the ``fusion`` recipe that differ in their seed; the one that learns from them is the only one served.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from leadwise.config import Parameters
from leadwise.datasets.store import Store
from leadwise.training.callbacks import validation_metrics
from leadwise.training.prediction import TrainedModel, load_trained
from leadwise.training.recipe import Recipe, recipe_for


@dataclass(frozen=True)
class SoftTargets:
    """What the teachers say about the training records.

    Attributes:
        answers: output -> ``(record, class)`` float32 probabilities, in the order of ``store.rows("train")``.
        validation: metrics of the teachers' mean on fold 9.
    """

    answers: Mapping[str, np.ndarray]
    validation: Mapping[str, float]

    @property
    def digest(self) -> str:
        """Of the answers, to four digits: what a training that learnt from them is recognised by."""
        digest = hashlib.sha256()
        for name in sorted(self.answers):
            digest.update(name.encode())
            digest.update(np.round(self.answers[name] * 10_000).astype("<i4").tobytes())
        return digest.hexdigest()


def teacher_recipes(parameters: Parameters) -> dict[str, Recipe]:
    """Folder name -> recipe of each teacher, with one seed after the other from the configured one on."""
    recipe, first = recipe_for("fusion", parameters), parameters.shared.seed
    seeds = range(first, first + parameters.train.teachers)
    return {f"fusion-{seed}": replace(recipe, seed=seed, teachers=0, distillation=0.0) for seed in seeds}


def teach(folders: Sequence[Path], store: Store) -> SoftTargets:
    """Ask the teachers about the training records, with windows side by side.

    Args:
        folders: their folders of the train stage.
        store: the data that they were trained on.

    Raises:
        TrainedModelError: a folder is unfinished, or of another data set.
    """
    train, validation = store.rows("train"), store.rows("validation")
    learnt: list[dict[str, np.ndarray]] = []
    measured: list[np.ndarray] = []
    for folder in folders:
        teacher = side_by_side(load_trained(folder))
        learnt.append(teacher.answers(store, train))
        measured.append(teacher.predict(store, validation))
    answers = {name: np.mean([answer[name] for answer in learnt], axis=0) for name in learnt[0]}
    return SoftTargets(answers, validation_metrics(store.labels()[validation], np.mean(measured, axis=0)))


def side_by_side(trained: TrainedModel) -> TrainedModel:
    """The model with windows that do not overlap: half the time, on 17,418 records minutes per teacher."""
    if trained.signal is None:
        return trained
    return replace(trained, signal=replace(trained.signal, stride_samples=trained.signal.window_samples))
