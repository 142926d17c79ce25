"""The trials of a study as plain rows: what the page, the figures and the table of it are made from."""

import csv
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import optuna
from optuna.trial import FrozenTrial, TrialState

from leadwise.training.config import TrainingConfig
from leadwise.training.search_space import SearchSpace
from leadwise.training.study import DEFAULTS, ERROR, MOST_TRIES, REASON, RETRY_OF, TRIES
from leadwise.training.study_storage import WORKER

COST, RUN = "million_multiply_adds", "run_id"
"""Attributes of a trial: what an answer of its network costs, and its run in MLflow."""

State = Literal["complete", "pruned", "failed", "lost", "running", "waiting"]


@dataclass(frozen=True)
class TrialRow:
    """One trial.

    Attributes:
        number: of the trial in its study.
        state: as in Optuna, with trials that lost their process told from those that failed by themselves.
        score: the monitored metric at its best, or where the trial was pruned; NaN if there is none.
        cost: million multiply-adds of one answer; NaN if no network was built.
        values: what was drawn, by the names of the recipe.
        course: epoch, counted from 1 -> the monitored metric.
        seconds: how long it took; 0 if it has not ended.
        reason: why it did not complete.
        is_default: whether it has the configured values.
        run_id: its run in MLflow.
        host: where it ran.
    """

    number: int
    state: State
    score: float
    cost: float
    values: Mapping[str, Any]
    course: Mapping[int, float]
    seconds: float
    reason: str
    is_default: bool
    run_id: str
    host: str


@dataclass(frozen=True)
class StudyTable:
    """A study's trials, and what it searched."""

    name: str
    monitor: str
    epochs: int
    two_objectives: bool
    ranges: Mapping[str, str]
    configured: Mapping[str, Any]
    trials: Sequence[TrialRow]
    frozen: Sequence[FrozenTrial]

    @classmethod
    def of(cls, study: optuna.Study, space: SearchSpace, recipe: TrainingConfig) -> "StudyTable":
        """Read a study.

        Args:
            study: to be read.
            space: what its trials draw from.
            recipe: of a trial with the configured values.
        """
        frozen = study.get_trials(deepcopy=False)
        return cls(
            name=study.study_name,
            monitor=recipe.monitor,
            epochs=recipe.epochs,
            two_objectives=len(study.directions) > 1,
            ranges=space.described(),
            configured=space.config_values(space.drawn_from(recipe)),
            trials=[_row(trial, space) for trial in frozen],
            frozen=frozen,
        )

    @property
    def sampler(self) -> str:
        """Who proposed the values."""
        return self.name.rpartition("/")[2]

    @property
    def completed(self) -> list[TrialRow]:
        """The trials that came to their end."""
        return [trial for trial in self.trials if trial.state == "complete"]

    @property
    def best(self) -> TrialRow | None:
        """The completed trial with the highest score; of equal ones the cheapest, then the first."""
        return max(self.completed, key=lambda one: (one.score, -one.cost, -one.number), default=None)

    @property
    def defaults(self) -> TrialRow | None:
        """The trial with the configured values, if it was completed."""
        return next((trial for trial in self.completed if trial.is_default), None)

    @property
    def front(self) -> list[TrialRow]:
        """With two objectives: the completed trials of which none scores higher for as little, cheapest first."""
        if not self.two_objectives:
            return []
        front: list[TrialRow] = []
        for trial in sorted(self.completed, key=lambda one: (one.cost, -one.score, one.number)):
            if not front or trial.score > front[-1].score:
                front.append(trial)
        return front

    @property
    def tally(self) -> dict[str, int]:
        """Trials by state."""
        return dict(Counter(trial.state for trial in self.trials))

    def as_csv(self) -> str:
        """One line per trial."""
        text = io.StringIO(newline="")
        names = list(self.ranges)
        columns = ["trial", "state", self.monitor, COST, "epochs", "seconds", *names, "reason", "run_id", "host"]
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        for trial in self.trials:
            values = [trial.values.get(name) for name in names]
            numbers = [None if math.isnan(number) else number for number in (trial.score, trial.cost)]
            head = [trial.number, trial.state, *numbers, len(trial.course) or None, round(trial.seconds, 1)]
            writer.writerow([*head, *values, trial.reason, trial.run_id, trial.host])
        return text.getvalue()


def _row(trial: FrozenTrial, space: SearchSpace) -> TrialRow:
    attributes = trial.user_attrs
    reason = attributes.get(REASON) or attributes.get(ERROR, "")
    if RETRY_OF in attributes:
        reason = "; ".join(filter(None, [f"tried again for trial {attributes[RETRY_OF]}", reason]))
    state = cast(State, {TrialState.FAIL: "failed"}.get(trial.state, trial.state.name.lower()))
    if state == "failed" and not {REASON, ERROR} & attributes.keys():
        state = "lost"
        given_up = attributes.get(TRIES, 1) >= MOST_TRIES
        ended = "its process ended in the middle of the trial"
        reason = "; ".join(filter(None, [reason, f"{ended}, {MOST_TRIES} times" if given_up else ended]))
    return TrialRow(
        number=trial.number,
        state=state,
        score=trial.values[0] if trial.values else math.nan,
        cost=attributes.get(COST, math.nan),
        values=space.config_values(trial.params),
        course=trial.intermediate_values,
        seconds=trial.duration.total_seconds() if trial.duration else 0.0,
        reason=reason,
        is_default=DEFAULTS in attributes,
        run_id=attributes.get(RUN, ""),
        host=attributes.get(WORKER, {}).get("host", ""),
    )
