"""The optimizer of a recipe: AdamW, its learning rate over the steps, and the running average of the weights."""

from typing import Any

from leadwise.models.framework import keras
from leadwise.training.recipe import Recipe

WARM_UP_SHARE = 0.25
"""Share of a one-cycle schedule in which the learning rate rises (Smith and Topin 2018; fastai's default)."""
START_DIVISOR = 25


def optimizer_for(recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """AdamW (Loshchilov and Hutter 2019), or Adam without decay, with the recipe's schedule and weight average."""
    rate = learning_rate(recipe, steps_per_epoch)
    average: dict[str, Any] = {}
    if recipe.ema_epochs:
        # The same stretch of training on little and on much data.
        average = {"use_ema": True, "ema_momentum": max(1 - 1 / (recipe.ema_epochs * steps_per_epoch), 0.0)}
    if recipe.weight_decay:
        return keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay, **average)
    return keras.optimizers.Adam(rate, **average)


def learning_rate(recipe: Recipe, steps_per_epoch: int) -> Any:
    """A number, or a schedule over the steps of ``recipe.epochs`` epochs."""
    if recipe.schedule == "constant":
        return recipe.learning_rate
    total = recipe.epochs * steps_per_epoch
    warm_up = round(WARM_UP_SHARE * total) if recipe.schedule == "one_cycle" else steps_per_epoch
    return keras.optimizers.schedules.CosineDecay(
        recipe.learning_rate / START_DIVISOR,
        decay_steps=max(total - warm_up, 1),
        warmup_target=recipe.learning_rate,
        warmup_steps=warm_up,
    )


class AveragedWeights(keras.callbacks.SwapEMAWeights):
    """Puts the averaged weights into the network at the end of an epoch and takes them out before the next.

    Must come before the callbacks that measure and save. A checkpoint holds the averaged weights in the network and
    the others in the optimizer: ``resume`` turns that round.
    """

    def __init__(self) -> None:
        super().__init__(swap_on_epoch=True)

    def _backend_finalize_ema_values(self, optimizer: keras.optimizers.Optimizer) -> None:
        # Keras lets weight and average share one array. JAX gives the weights' arrays away when it predicts, and the
        # average would be gone with them.
        for weight, average in zip(
            optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True
        ):
            average.assign(keras.ops.copy(weight))

    def resume(self, network: keras.Model) -> None:
        """Make a network from a checkpoint ready to be trained further."""
        self.set_model(network)
        self._swap_variables()
