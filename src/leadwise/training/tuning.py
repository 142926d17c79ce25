"""The study of one model: what its trials draw from, and what it has found for the train stage."""

import hashlib
import json
import textwrap
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import NopPruner, SuccessiveHalvingPruner

from leadwise.atomic import file_lock, write_atomically
from leadwise.config import Parameters
from leadwise.contract import LeadwiseError
from leadwise.datasets.store import Store
from leadwise.training.config import TrainingConfig, tuned_file
from leadwise.training.epochs import WARM_UP_SHARE
from leadwise.training.fit import require_measurable
from leadwise.training.study import (
    COST,
    COUNTED,
    REASON,
    defaults_of,
    open_storage,
    open_study,
    state_of,
    work_on,
)
from leadwise.training.trial import SearchSpace, TrialRunner, said, space_of, trial_config, trial_rows

KEPT = 2
"""One trial in so many goes on after each cut."""


@dataclass(frozen=True)
class Tuned:
    """What a study has found: the content of the ``file`` that the train stage reads, and what it comes from.

    ``config`` is that of a trial with the configured values.
    """

    content: dict[str, Any]
    study: optuna.Study
    space: SearchSpace
    config: TrainingConfig
    file: Path


def tune_model(model: str, parameters: Parameters, store: Store) -> Tuned:
    """Run the study of one model, or what is left of it, and write the best parameters for the train stage.

    Raises:
        LeadwiseError: no trial was completed; ``study-storage`` cannot be opened; fold 9 cannot tell one trial from
            another.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    tune, config = parameters.tune, trial_config(model, parameters)
    require_measurable(config, store)
    space, file = space_of(config), tuned_file(model, parameters)
    storage = open_storage(tune.study_storage, file.parent, tune.lost_after_s)
    with file_lock(file):
        study = open_study(
            study_name(config, space, parameters, store),
            storage,
            pruner=halving(config.epochs) if tune.objectives == "score" else NopPruner(),
            directions=["maximize"] if tune.objectives == "score" else ["maximize", "minimize"],
            defaults=space.drawn_from(config),
            seed=config.seed,
        )
    runner = TrialRunner(config, space, store, trial_rows(config, store, tune.tune_share))
    work_on(study, runner, trials=tune.trials, seconds=tune.timeout_min * 60)
    with file_lock(file):
        # The last worker to get here has seen every trial.
        content = _content(study, space, config, store)
        write_atomically(file, json.dumps(content, indent=2))
    done, why = sum(trial.state in COUNTED for trial in study.trials), "that was all"
    if done < tune.trials:
        why = f"{tune.timeout_min:g} minutes had passed"
    print(f"{model}: {done} of {tune.trials} trials, {why}", flush=True)
    before = "" if content["defaults"] is None else f" ({content['defaults']:.4f} as configured)"
    print(f"best: trial {content['trial']}, {config.monitor} {content['value']:.4f}{before}")
    if content["parameters"] == space.config_values(space.drawn_from(config)):
        print("  its values are the configured ones")
    else:
        values = said(content["parameters"])
        print(textwrap.fill(values, 100, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False))
    return Tuned(content, study, space, config, file)


def study_name(config: TrainingConfig, space: SearchSpace, parameters: Parameters, store: Store) -> str:
    """The name of a study.

    Trials may only be compared within one: the same data, records, epochs, space, objectives and fixed parameters.
    """
    tune = parameters.tune
    ranges = {name: str(one) for name, one in {**space.dimensions, **space.widths}.items()}
    what = [config.fingerprint(store.manifest), tune.tune_share, tune.objectives, ranges]
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    return f"{config.feature_set}/{config.model}/{digest[:12]}/tpe"


def halving(epochs: int) -> SuccessiveHalvingPruner:
    """Asynchronous successive halving (Li et al. 2020, A System for Massively Parallel Hyperparameter Tuning).

    The first cut comes when the learning rate has risen: before that a trial says little about itself. Not Hyperband:
    Optuna's splits the trials into brackets of which each has a sampler's start of its own, and a study of forty trials
    would be random throughout.
    """
    return SuccessiveHalvingPruner(min_resource=max(round(WARM_UP_SHARE * epochs), 1), reduction_factor=KEPT)


def _content(study: optuna.Study, space: SearchSpace, config: TrainingConfig, store: Store) -> dict[str, Any]:
    """What a study has found, for the train stage; of equally good trials the cheapest, then the first."""
    front = sorted(study.best_trials, key=lambda one: (one.user_attrs[COST], one.number))
    if not front:
        reasons = sorted({trial.user_attrs[REASON] for trial in study.trials if REASON in trial.user_attrs})
        why = "; ".join(reasons) or "none had the time"
        raise LeadwiseError(f"{study.study_name}: no trial was completed; {why}")
    best, defaults = max(front, key=lambda one: one.values[0]), defaults_of(study)
    return {
        "study": study.study_name,
        "digest": store.manifest["digest"],
        "monitor": config.monitor,
        "value": best.values[0],
        "trial": best.number,
        "defaults": defaults.values[0] if defaults else None,
        "trials": dict(Counter(state_of(trial) for trial in study.trials)),
        "parameters": space.config_values(best.params),
        "front": [
            {
                "trial": one.number,
                "value": one.values[0],
                "million_multiply_adds": one.values[1],
                "parameters": space.config_values(one.params),
            }
            for one in front
            if len(study.directions) > 1
        ],
    }
