"""Who proposes the next values: a sampler whose draws depend on the trial's number, not on who asks."""

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

SamplerName = Literal["tpe", "random"]


class NumberedSampler(BaseSampler):
    """A sampler that is made anew for every trial, seeded by the study's seed and the trial's number.

    With one seed for a whole process, two workers would try the same random values side by side, and a study that goes
    on after an interruption would begin with those that it began with before.

    Args:
        name: ``tpe`` (Bergstra et al. 2011; Watanabe 2023), several parameters drawn together, those of an encoder
            among the trials that had it; or ``random``, which learns nothing from earlier trials.
        seed: the study's seed.
    """

    def __init__(self, name: SamplerName, seed: int) -> None:
        self._name, self._seed = name, seed
        self._sampler = self._made(0)

    def _made(self, number: int) -> BaseSampler:
        seed = int(np.random.SeedSequence((self._seed, number)).generate_state(1)[0])
        if self._name == "random":
            return RandomSampler(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return TPESampler(seed=seed, multivariate=True, group=True)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """A new generator."""
        self._sampler = self._made(trial.number)
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters that are drawn together."""
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Their values."""
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The value of a parameter that is drawn alone."""
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """What the sampler itself does at the end of a trial."""
        self._sampler.after_trial(study, trial, state, values)
