"""What the gate asks for, by whether the weights come from simulated data."""

from dataclasses import dataclass

from leadwise.config import Gate


@dataclass(frozen=True)
class Limits:
    """The part of the gate's parameters that simulated data have of their own.

    Attributes:
        simulated: whether these are the limits for simulated data.
        macro_auroc: lowest on fold 10.
        class_auroc: lowest of each class.
        ece: highest, mean over the classes.
        margin_macro_auroc: by which the candidate may be worse than the champion.
        margin_class_auroc: the same for each class.
        other_data: whether a champion of other data may be replaced.
    """

    simulated: bool
    macro_auroc: float
    class_auroc: float
    ece: float
    margin_macro_auroc: float
    margin_class_auroc: float
    other_data: bool

    @classmethod
    def of(cls, asked: Gate, *, simulated: bool) -> "Limits":
        """Those for simulated data, or the others: the weights decide, not a name or a configuration."""
        if simulated:
            return cls(
                simulated=True,
                macro_auroc=asked.simulated_floor_macro_auroc,
                class_auroc=asked.simulated_floor_class_auroc,
                ece=asked.simulated_highest_ece,
                margin_macro_auroc=asked.simulated_margin_macro_auroc,
                margin_class_auroc=asked.simulated_margin_class_auroc,
                other_data=asked.simulated_allow_other_data,
            )
        return cls(
            simulated=False,
            macro_auroc=asked.floor_macro_auroc,
            class_auroc=asked.floor_class_auroc,
            ece=asked.highest_ece,
            margin_macro_auroc=asked.margin_macro_auroc,
            margin_class_auroc=asked.margin_class_auroc,
            other_data=asked.allow_other_data,
        )
