"""What others have published on fold 10 of PTB-XL, to put a figure of ours beside."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FOLD_10_ROWS: Mapping[str, tuple[int, ...]] = {"1.0.1": (2203, 2198), "1.0.2": (2198,), "1.0.3": (2198,)}
"""Rows of fold 10 by release, all of them; release 1.0.1 without the records that 1.0.2 dropped as well."""


@dataclass(frozen=True)
class Published:
    """One published macro AUROC over the five superclasses on fold 10.

    Attributes:
        macro_auroc: as published.
        model: what it is of.
    """

    macro_auroc: float
    model: str


MACRO_AUROC: tuple[Published, ...] = (
    Published(0.9347, "ECGFounder, pretrained on ten million ECGs and fine-tuned"),
    Published(0.9336, "ECG-CPC, pretrained and fine-tuned"),
    Published(0.9320, "S4, from scratch"),
    Published(0.930, "resnet1d_wang, from scratch (Strodthoff et al. 2021, doi:10.1109/JBHI.2020.3022989)"),
    Published(0.928, "xresnet1d101, from scratch (the same)"),
)
"""Figures with checkpoints or thresholds picked on fold 10 itself, or on a part of its rows, are left out."""

STATEMENTS_MACRO_AUROC = (0.925, 0.942)
"""Over all 71 statements."""


def comparable(manifest: Mapping[str, Any], rows: Mapping[str, int]) -> bool:
    """Whether an evaluation is on all rows of fold 10 of a release of PTB-XL."""
    return not manifest["simulated"] and rows["test"] in FOLD_10_ROWS.get(manifest["release"], ())


def published_line() -> str:
    """The published figures in one sentence."""
    figures = "; ".join(f"{one.macro_auroc:g} {one.model}" for one in MACRO_AUROC)
    return f"Published on fold 10, macro AUROC: {figures}."
