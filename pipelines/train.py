"""Train the metadata, fusion and fusion_augmented networks, one run each, and leave their folders."""

from pathlib import Path

import mlflow

from leadwise.config import Parameters
from leadwise.contract import ModelName
from leadwise.stage import child_run, log_folder, log_store, run_stage


def train_one(model: ModelName, parameters: Parameters) -> None:
    """One model in a run of its own."""
    from leadwise.data.store import open_store
    from leadwise.training.fit import fit_model
    from leadwise.training.progress_table import EpochTable
    from leadwise.training.recipe import recipe_for

    store = open_store(parameters.shared.workspace / "store")
    recipe = recipe_for(model, parameters)
    tags = {"stage": "train", "model": model, "feature_set": parameters.shared.feature_set}
    folder: Path = parameters.shared.workspace / "models" / parameters.shared.feature_set / model
    with child_run(model, tags, recipe.parameters()) as run:
        log_store(store.manifest, "training")
        table = EpochTable(recipe)

        def report(epoch: int, metrics: dict[str, float]) -> None:
            mlflow.log_metrics(metrics, step=epoch)
            table.row(epoch, metrics)

        training = fit_model(recipe, store, folder, report=report, run_id=run.info.run_id)
        table.close(training)
        mlflow.log_metrics({f"best/{name}": value for name, value in training["validation"].items()})
        mlflow.log_metrics(
            {f"train/{name}": training[name] for name in ("best_epoch", "epochs", "count_params")}
            | {"train/total_seconds": training["seconds"]}
        )
        mlflow.set_tags({"backend": training["backend"], "reused": str(training["reused"]).lower()})
        log_folder(folder, "model")


def work(parameters: Parameters) -> None:
    """Train what ``model`` asks for."""
    for model in parameters.train.models:
        train_one(model, parameters)


if __name__ == "__main__":
    run_stage("train", work)
