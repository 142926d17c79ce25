"""The table of a training's epochs that a terminal or a log shows."""

from collections.abc import Mapping
from typing import Any

from leadwise.training.recipe import Recipe


class EpochTable:
    """Prints one row per epoch, flushed at once so that a log can be followed.

    Args:
        recipe: names the monitored metric, whose best value so far is marked.
        name: what is trained.
    """

    def __init__(self, recipe: Recipe, name: str) -> None:
        self._recipe = recipe
        self._best = float("-inf")
        print(
            f"\n{name} ({recipe.feature_set} features): at most {recipe.epochs} epochs, "
            f"patience {recipe.patience} on {recipe.monitor}",
            f"{'epoch':>5}  {'train loss':>10}  {'val loss':>8}  {'val macro AUROC':>15}  "
            f"{'val accuracy':>12}  {'seconds':>7}",
            sep="\n",
            flush=True,
        )

    def row(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """One epoch."""
        mark = " *" if metrics[self._recipe.monitor] > self._best else ""
        self._best = max(self._best, metrics[self._recipe.monitor])
        print(
            f"{epoch:5d}  {metrics['train/loss']:10.4f}  {metrics['val/loss']:8.4f}  "
            f"{metrics['val/macro_auroc']:15.4f}  {metrics['val/binary_accuracy']:12.4f}  "
            f"{metrics['train/seconds']:7.1f}{mark}",
            flush=True,
        )

    def close(self, training: Mapping[str, Any]) -> None:
        """What was kept."""
        again = "; taken from an earlier run with the same parameters and data" if training["reused"] else ""
        print(
            f"kept epoch {training['best_epoch']} of {training['epochs']}, "
            f"{training['count_params']:,} parameters, {training['seconds']:.0f} s{again}",
            flush=True,
        )
