"""Train every model that is asked for, one run each, and leave their folders."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow

from leadwise.config import Parameters
from leadwise.reports.run_summaries import training_summary, trainings_summary
from leadwise.stage import child_run, log_store, run_stage

if TYPE_CHECKING:
    from leadwise.datasets.store import Store
    from leadwise.training.config import TrainingConfig


def train_one(config: "TrainingConfig", store: "Store", folder: Path, tuned: dict[str, str]) -> dict[str, Any]:
    """One network in a run of its own, tagged with the study that its parameters come from; its ``training.json``."""
    from leadwise.training.epochs import EpochTable
    from leadwise.training.fit import fit_model

    name = config.model
    tags = {"model": name, "seed": str(config.seed)}
    with child_run(name, "model", tags | tuned, config.parameters(), long=True) as run:
        log_store(store.manifest, "training")
        table = EpochTable(config, name)

        def report(epoch: int, metrics: dict[str, float]) -> None:
            mlflow.log_metrics(metrics, step=epoch)
            table.row(epoch, metrics)

        training = fit_model(config, store, folder, report=report, run_id=run.info.run_id)
        table.close(training)
        mlflow.log_metrics(
            {f"best/{name}": value for name, value in training["validation"].items()}
            | {f"train/{name}": training[name] for name in ("best_epoch", "epochs", "count_params")}
            | {"train/total_seconds": training["seconds"]}
        )
        mlflow.set_tags({"backend": training["backend"], "reused": str(training["reused"]).lower()})
        mlflow.log_artifacts(str(folder), "model")
        training_summary(name, training, store.manifest).log()
        return training


def work(parameters: Parameters) -> None:
    """Train what ``model`` asks for."""
    from leadwise.datasets.store import open_store
    from leadwise.training.config import training_config, tuned_from

    store = open_store(parameters.shared.workspace / "store")
    log_store(store.manifest, "training")
    configs = [training_config(model, parameters) for model in parameters.train.models]
    folder = parameters.shared.workspace / "models" / parameters.shared.feature_set
    trainings = [
        train_one(config, store, folder / config.model, tuned_from(config.model, parameters)) for config in configs
    ]
    trainings_summary(trainings, store.manifest).log()


if __name__ == "__main__":
    run_stage("train", work)
