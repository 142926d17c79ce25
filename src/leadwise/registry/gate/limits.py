"""What the gate asks for, by whether the weights come from simulated data."""

from dataclasses import dataclass, fields

from leadwise.config import Gate


@dataclass(frozen=True)
class Limits:
    """The part of the gate's parameters that simulated data have of their own.

    Attributes:
        simulated: whether these are the limits for simulated data.
        floor_macro_auroc: lowest on fold 10.
        floor_class_auroc: lowest of each class.
        highest_ece: mean over the classes.
        margin_macro_auroc: by which the candidate may be worse than the champion.
        margin_class_auroc: the same for each class.
        allow_other_data: whether a champion of other data may be replaced.
    """

    simulated: bool
    floor_macro_auroc: float
    floor_class_auroc: float
    highest_ece: float
    margin_macro_auroc: float
    margin_class_auroc: float
    allow_other_data: bool

    @classmethod
    def of(cls, asked: Gate, *, simulated: bool) -> "Limits":
        """Those for simulated data, or the others: the weights decide, not a name or a configuration."""
        prefix = "simulated_" if simulated else ""
        names = [field.name for field in fields(cls) if field.name != "simulated"]
        return cls(simulated=simulated, **{name: getattr(asked, prefix + name) for name in names})
