"""The card of one trained model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leadwise.models.spec import model_spec
from leadwise.reports.report_page import Card, Cell, Pictures, Tile, duration, number, picture

METRIC_NAMES = {"val/macro_auroc": "macro AUROC", "val/binary_accuracy": "mean accuracy"}


def train_card(name: str, training: Mapping[str, Any], manifest: Mapping[str, Any], folder: Path) -> Card:
    """The card of a training.

    Args:
        name: what was trained.
        training: content of its ``training.json``.
        manifest: of the store.
        folder: of the model, with the figure of its history.
    """
    recipe, found = training["parameters"], training["validation"]
    release = "Simulated data" if manifest["simulated"] else f"PTB-XL {manifest['release']}"
    chosen = f"by {METRIC_NAMES[training['monitor']]}"
    reused = "Taken from an earlier run with the same parameters and data. " if training.get("reused") else ""
    sees_signal = model_spec(training["model"]).sees_signal
    network = f"{recipe['encoder']}, {recipe['encoder-width']}" if sees_signal else "dense layers"
    return Card(
        title=f"Trained: {name}",
        subtitle=f"{reused}{release}, {training['feature_set']} features, fold 9 chooses the epoch.",
        simulated=bool(manifest["simulated"]),
        tiles=[
            Tile("macro AUROC, fold 9", Cell(number(found["val/macro_auroc"], 4))),
            Tile("mean accuracy, fold 9", Cell(number(found["val/binary_accuracy"]))),
            Tile("epoch kept", Cell(f"{training['best_epoch']} of {training['epochs']}"), chosen),
            Tile("trained in", Cell(duration(training["seconds"])), training["backend"]),
            Tile("parameters", Cell(f"{training['count_params']:,}")),
        ],
        went_in=[
            ("records (folds 1-8)", f"{manifest['splits']['train']:,}"),
            ("records (fold 9)", f"{manifest['splits']['validation']:,}"),
            ("data", manifest["digest"][:12]),
            ("network", network),
            ("learning rate", f"{recipe['learning-rate']:g}, {recipe['schedule']}"),
            ("batch, weight decay", f"{recipe['batch-size']}, {recipe['weight-decay']:g}"),
            ("seed", str(recipe["seed"])),
            ("arithmetic", recipe["precision"]),
        ],
        came_out=[
            ("model.keras", "weights of the kept epoch"),
            ("preprocessing.json", "scales, windows and imputation, fitted on folds 1-8"),
            ("history.csv", f"{training['epochs']} epochs"),
            ("loss, fold 9", number(found["val/loss"], 4)),
        ],
        shown=[Pictures([picture(folder / "figures" / "history.png", "Loss and validation metrics by epoch")])],
        footer=["All files: the folder model of this run. Fold 10 was not read."],
    )
