"""What there is to look at without a recording of one's own: one simulated example per class."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from leadwise.contract import ECGRecord

SIMULATED: Mapping[str, tuple[str, int]] = {
    "NORM": ("NORM", 4),
    "MI": ("AMI", 4),
    "STTC": ("ISCAL", 3),
    "CD": ("CLBBB", 5),
    "HYP": ("LVH", 7),
}
"""Class -> statement and seed of the simulator."""
NOISE = 0.5
"""Half of the usual, so that small waves can be pointed at."""


@dataclass(frozen=True)
class Example:
    """A recording to look at.

    Attributes:
        record: the recording.
        title: its headline.
        about: where it comes from and what it shows, in a sentence.
    """

    record: ECGRecord
    title: str
    about: str


def simulated_examples() -> dict[str, Example]:
    """Class -> a simulated recording; no patient stands behind it."""
    from leadwise.datasets.synthetic import simulate_record

    found = {}
    for superclass, (code, seed) in SIMULATED.items():
        name = statement_names([code])
        about = f"Simulated, no patient: {name}, as the simulator draws it."
        found[superclass] = Example(simulate_record(code, seed, noise=NOISE), f"Simulated: {name}", about)
    return found


def statement_names(codes: Iterable[str]) -> str:
    """The statements in plain English, with commas."""
    from leadwise.datasets.statements import STATEMENT_TABLE

    names = {statement.code: statement.name for statement in STATEMENT_TABLE}
    return ", ".join(names.get(code, code) for code in codes)
