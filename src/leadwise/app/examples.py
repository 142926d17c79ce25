"""What there is to look at without a recording of one's own: one example per class."""

from leadwise.contract import SUPERCLASSES, ECGRecord

EXAMPLE_SEEDS = {"NORM": 4, "MI": 2, "STTC": 3, "CD": 5, "HYP": 7}
"""Of the simulator, chosen by eye: clean tracings that a teacher would show."""


def simulated_example(superclass: str) -> ECGRecord:
    """A simulated recording of a class; no patient stands behind it.

    Raises:
        ValueError: the class is none of ``SUPERCLASSES``.
    """
    from leadwise.data.simulator import simulate_record

    if superclass not in SUPERCLASSES:
        raise ValueError(f"superclass: received {superclass!r}; allowed: {', '.join(SUPERCLASSES)}")
    return simulate_record(superclass, EXAMPLE_SEEDS[superclass])
