"""Train the metadata, fusion and fusion_augmented networks, one run each, and leave their folders."""

from pathlib import Path
from typing import TYPE_CHECKING

import mlflow

from leadwise.config import Parameters
from leadwise.reports.run_summaries import training_summary
from leadwise.stage import child_run, log_folder, log_store, run_stage

if TYPE_CHECKING:
    from leadwise.datasets.store import Store
    from leadwise.training.recipe import Recipe
    from leadwise.training.teachers import SoftTargets


def train_one(
    name: str, recipe: "Recipe", store: "Store", folder: Path, targets: "SoftTargets | None", tuned: dict[str, str]
) -> None:
    """One network in a run of its own, tagged with the study that its parameters come from."""
    from leadwise.training.fit import fit_model
    from leadwise.training.progress_table import EpochTable

    tags = {"model": name, "seed": str(recipe.seed)}
    with child_run(name, "model", tags | tuned, recipe.parameters(), long=True) as run:
        log_store(store.manifest, "training")
        table = EpochTable(recipe, name)

        def report(epoch: int, metrics: dict[str, float]) -> None:
            mlflow.log_metrics(metrics, step=epoch)
            table.row(epoch, metrics)

        training = fit_model(recipe, store, folder, report=report, run_id=run.info.run_id, targets=targets)
        table.close(training)
        mlflow.log_metrics(
            {f"best/{name}": value for name, value in training["validation"].items()}
            | {f"train/{name}": training[name] for name in ("best_epoch", "epochs", "count_params")}
            | {"train/total_seconds": training["seconds"]}
        )
        mlflow.set_tags({"backend": training["backend"], "reused": str(training["reused"]).lower()})
        log_folder(folder, "model")
        training_summary(name, training, store.manifest).log()


def train_teachers(store: "Store", parameters: Parameters) -> "SoftTargets":
    """The networks that the fusion models learn from; what they say together."""
    from leadwise.training.teachers import teach, teacher_recipes

    folder = parameters.shared.workspace / "models" / parameters.shared.feature_set / "teachers"
    recipes = teacher_recipes(parameters)
    for name, recipe in recipes.items():
        train_one(f"teacher/{name}", recipe, store, folder / name, None, {})
    targets = teach([folder / name for name in recipes], store)
    mlflow.log_metrics({f"teachers/{name}": value for name, value in targets.validation.items()})
    print(f"mean of {len(recipes)} teachers: fold 9 macro AUROC {targets.validation['val/macro_auroc']:.4f}")
    return targets


def work(parameters: Parameters) -> None:
    """Train what ``model`` asks for, and before it the teachers that it learns from."""
    from leadwise.datasets.store import open_store
    from leadwise.training.recipe import recipe_for, tuned_from

    store = open_store(parameters.shared.workspace / "store")
    log_store(store.manifest, "training")
    recipes = {model: recipe_for(model, parameters) for model in parameters.train.models}
    targets = train_teachers(store, parameters) if any(recipe.teachers for recipe in recipes.values()) else None
    folder = parameters.shared.workspace / "models" / parameters.shared.feature_set
    for model, recipe in recipes.items():
        taught_by = targets if recipe.teachers else None
        train_one(model, recipe, store, folder / model, taught_by, tuned_from(model, parameters))


if __name__ == "__main__":
    run_stage("train", work)
