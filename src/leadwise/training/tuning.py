"""The Optuna study of one model: small, pruned, resumable, every trial a run of its own.

A trial trains on a part of the training folds for a few epochs and is judged on fold 9 by the monitored metric. The
shipped defaults are always the first trial, so that a study never ends with less than they give.
"""

import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from leadwise.atomic import write_atomically
from leadwise.config import Parameters
from leadwise.contract import ModelName
from leadwise.data.store import Store
from leadwise.stage import child_run
from leadwise.training.recipe import Recipe, recipe_for, tuned_file, with_values

if TYPE_CHECKING:
    import optuna


def suggest(trial: "optuna.Trial", recipe: Recipe) -> dict[str, Any]:
    """The search space: values by kebab-case name for one trial of a model."""
    values: dict[str, Any] = {
        "learning-rate": trial.suggest_float("learning-rate", 3e-4, 1e-2, log=True),
        "batch-size": trial.suggest_categorical("batch-size", sorted({16, 32, 64, recipe.batch_size})),
        "dropout-branch": trial.suggest_float("dropout-branch", 0.0, 0.6),
        "dropout-head": trial.suggest_float("dropout-head", 0.0, 0.7),
    }
    if recipe.metadata_dropout:
        values["metadata-dropout"] = trial.suggest_float("metadata-dropout", 0.0, 0.5)
    if recipe.model == "fusion_augmented":
        values["window-samples"] = trial.suggest_int("window-samples", 200, 500, step=50)
        values["disturbed-share"] = trial.suggest_float("disturbed-share", 0.0, 0.8)
    return values


def tune_model(model: ModelName, parameters: Parameters, store: Store) -> dict[str, Any]:
    """Run the study of one model, or what is left of it, and write the best parameters for the train stage.

    Returns:
        The content of the written file: ``study``, ``digest``, ``value``, ``monitor``, ``parameters``, ``trials``.
    """
    import optuna

    from leadwise.training.callbacks import TrainingDiverged

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    recipe = _trial_recipe(model, parameters)
    folder = tuned_file(model, parameters).parent
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{parameters.shared.feature_set}/{model}/{_study_key(recipe, parameters, store)}"
    study = optuna.create_study(
        study_name=name,
        storage=parameters.tune.study_storage or f"sqlite:///{folder / 'studies.db'}",
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=parameters.shared.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=1),
        load_if_exists=True,
    )
    _close_interrupted(study)
    if not study.trials:
        study.enqueue_trial(recipe.parameters())
    left = parameters.tune.trials - len(study.get_trials(states=_ended()))
    if left > 0:
        study.optimize(
            _objective(recipe, parameters, store),
            n_trials=left,
            timeout=parameters.tune.timeout_min * 60,
            catch=(TrainingDiverged, MemoryError),
        )
    content = {
        "study": name,
        "digest": store.manifest["digest"],
        "monitor": recipe.monitor,
        "value": study.best_value,
        "trial": study.best_trial.number,
        "trials": {state.name.lower(): len(study.get_trials(states=(state,))) for state in optuna.trial.TrialState},
        "parameters": study.best_params,
    }
    write_atomically(tuned_file(model, parameters), json.dumps(content, indent=2))
    return content


def _trial_recipe(model: ModelName, parameters: Parameters) -> Recipe:
    defaults = parameters.model_copy(update={"train": parameters.train.model_copy(update={"use_tuned": False})})
    epochs = parameters.tune.tune_epochs
    return with_values(recipe_for(model, defaults), {"epochs": epochs, "patience": epochs})


def _study_key(recipe: Recipe, parameters: Parameters, store: Store) -> str:
    """Trials may only be compared within one study: same data, budget and fixed parameters."""
    content = json.dumps([recipe.fingerprint(store.manifest), parameters.tune.tune_records])
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _ended() -> "tuple[optuna.trial.TrialState, ...]":
    from optuna.trial import TrialState

    return (TrialState.COMPLETE, TrialState.PRUNED)


def _close_interrupted(study: "optuna.Study") -> None:
    """A trial that was running when the program was killed has failed; its parameters are tried again."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params or trial.system_attrs.get("fixed_params", {}))


def _objective(recipe: Recipe, parameters: Parameters, store: Store) -> "Callable[[optuna.Trial], float]":
    # Imported before the study's clock starts: TensorFlow takes seconds.
    from leadwise.training.trial import train_trial

    rows = store.rows("train")
    size = min(parameters.tune.tune_records, len(rows))
    subset = np.sort(np.random.default_rng(recipe.seed).choice(rows, size, replace=False))

    def objective(trial: "optuna.Trial") -> float:
        import mlflow
        from optuna import TrialPruned

        values = suggest(trial, recipe)
        tags = {"stage": "tune", "model": recipe.model, "feature_set": recipe.feature_set, "trial.state": "running"}
        with child_run(f"{recipe.model}/trial-{trial.number:03d}", tags, values):
            try:
                value = train_trial(trial, with_values(recipe, values), store, subset)
            except TrialPruned as pruned:
                mlflow.set_tags({"trial.state": "pruned", "trial.reason": str(pruned)})
                raise
            except Exception as error:
                mlflow.set_tags({"trial.state": "failed", "trial.reason": f"{type(error).__name__}: {error}"[:500]})
                raise
            mlflow.set_tag("trial.state", "complete")
            mlflow.log_metric(f"best/{recipe.monitor}", value)
            print(f"{recipe.model} trial {trial.number}: {recipe.monitor} {value:.4f} with {values}", flush=True)
            return value

    return objective
