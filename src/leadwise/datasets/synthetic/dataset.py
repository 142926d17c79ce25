"""The simulated PTB-XL as a dataset: laid out like the published one, and about nobody."""

from collections.abc import Mapping
from pathlib import Path

from leadwise.datasets.base import register
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

    def is_in(self, tree: Path) -> bool:
        return (tree / SIMULATION_FILE).is_file()

    def release(self, tables: Tables, counts: Mapping[str, int]) -> str:
        return "simulated"


register(Synthetic())
