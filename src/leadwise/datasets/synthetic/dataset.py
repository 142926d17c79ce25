"""The simulated PTB-XL as a dataset: laid out like the published one, and about nobody."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from leadwise.datasets.base import GateLimits, register
from leadwise.datasets.ptbxl import PtbXl
from leadwise.datasets.releases import SIMULATION_FILE
from leadwise.datasets.tables import Tables


class Synthetic(PtbXl):
    """A tree that ``leadwise simulate`` has written."""

    name = "synthetic"
    title = "a simulated PTB-XL"
    citation = "none: made by Leadwise"
    licence = "none: no recording of anybody"
    about_patients = False
    model_name = "leadwise-demo"
    may_be_absent = frozenset()
    gate: ClassVar[Mapping[str, GateLimits]] = {
        "auroc": GateLimits(0.6, 0.5, mean_margin=0.2, each_margin=0.5),
        "ece": GateLimits(0.25),
    }
    """So few records decide little, and their figures say nothing about patients."""
    replaceable = True

    def is_in(self, tree: Path) -> bool:
        return (tree / SIMULATION_FILE).is_file()

    def release(self, tables: Tables, counts: Mapping[str, int]) -> str:
        return "simulated"


register(Synthetic())
