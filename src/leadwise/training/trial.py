"""One trial of a study: a short training that reports every epoch, so that a hopeless one is pruned."""

import mlflow
import numpy as np
import optuna
from keras.callbacks import LambdaCallback
from optuna_integration import KerasPruningCallback

from leadwise.data.store import Store
from leadwise.training.callbacks import epoch_metrics
from leadwise.training.fit import TrainingData, compile_network, run_epochs
from leadwise.training.recipe import Recipe


def train_trial(trial: optuna.Trial, recipe: Recipe, store: Store, rows: np.ndarray) -> float:
    """Train briefly on the given rows; the best value of the monitored metric on fold 9.

    Raises:
        optuna.TrialPruned: the trial lags behind those before it.
        TrainingDiverged: the network's answers are not finite.
    """
    data = TrainingData.prepare(recipe, store, rows)
    batches = data.batches(recipe)
    network = compile_network(recipe, data, len(batches))
    reached: list[float] = []

    def book(epoch: int, logs: dict[str, float]) -> None:
        reached.append(logs[recipe.monitor])
        mlflow.log_metrics(epoch_metrics(logs), step=epoch + 1)

    callbacks = [
        data.validation(lambda: network),
        LambdaCallback(on_epoch_end=book),
        KerasPruningCallback(trial, recipe.monitor),
    ]
    run_epochs(network, batches, recipe.epochs, callbacks)
    return max(reached)
