"""Which parameters decided how good a trial was."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from leadwise.training.halving import first_cut
from leadwise.training.study_table import StudyTable

FEWEST = 8
"""Trials below which a share of the importance would be a guess."""
BETTER_PART = 0.25
"""What sets the better quarter apart from all; of so few trials, the evaluator's own tenth would be one or two."""


@dataclass(frozen=True)
class Importance:
    """Parameters, as they were drawn, with their shares of the importance, which sum to 1."""

    question: str
    shares: Mapping[str, float]


def importances_of(table: StudyTable) -> list[Importance]:
    """What mattered at the first cut, which nearly every trial has reached, and at the end; empty for few trials.

    By PED-ANOVA (Watanabe et al. 2023), which also knows parameters that only some trials have.
    """
    cut = first_cut(table.epochs)
    asked: list[tuple[str, Callable[[FrozenTrial], float | None]]] = [
        (f"after epoch {cut}", lambda trial: trial.intermediate_values.get(cut)),
        ("at the end", lambda trial: trial.values[0] if trial.state == TrialState.COMPLETE and trial.values else None),
    ]
    found = []
    for question, score in asked:
        scored = [(trial, value) for trial in table.frozen if trial.params and (value := score(trial)) is not None]
        if len(scored) >= FEWEST:
            found.append(Importance(f"{question}, {len(scored)} trials", _shares(scored)))
    return found


def _shares(scored: list[tuple[FrozenTrial, float]]) -> Mapping[str, float]:
    """Optuna looks at completed trials only, so the scores become those of a study in memory."""
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        [
            optuna.trial.create_trial(params=trial.params, distributions=trial.distributions, value=value)
            for trial, value in scored
        ]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = PedAnovaImportanceEvaluator(target_quantile=BETTER_PART)
        return get_param_importances(study, evaluator=evaluator)
