"""One record per class out of a PTB-XL tree, to look at."""

import json
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from leadwise.app.examples import Example, statement_names
from leadwise.contract import FS_HZ, LEADS, SUPERCLASSES, VALIDATION_FOLD, LeadwiseError
from leadwise.datasets.tables import Tables, clean, read_tables
from leadwise.datasets.waveforms import UnreadableRecord, read_record
from leadwise.ecg.assessment import examine
from leadwise.ecg.leads import RecordingError
from leadwise.ecg.record import Recording, build_recording
from leadwise.serving.request import FACTS

REMARKS: tuple[str, ...] = (
    "baseline_drift", "static_noise", "burst_noise", "electrodes_problems", "extra_beats", "pacemaker",
)  # fmt: skip
"""Columns of PTB-XL that are empty where there was nothing to remark."""


class ExampleError(LeadwiseError):
    """A tree has no example of a class; the message says what was looked for."""


def ptbxl_examples(tree: Path) -> dict[str, Example]:
    """Class -> a record of fold 9 that cardiologists gave this class and no other, and of which nothing is remarked.

    Fold 9 chose epochs and thresholds, but no network was trained on it; fold 10 is left alone. Of each class, the
    record with the fewest statements is taken, its diagnosis certain, whose signal raises no quality flag.

    Args:
        tree: a PTB-XL tree with its records at 100 Hz; of a simulated one the examples are marked so.

    Raises:
        ExampleError: a class has no such record.
        TableError: it is no PTB-XL tree.
    """
    tables = read_tables(tree)
    in_fold = tables.numbers()["strat_fold"] == VALIDATION_FOLD
    unremarked = tables.database.reindex(columns=list(REMARKS)).isna().all(axis=1)
    records = clean(replace(tables, database=tables.database[in_fold & unremarked])).records
    alone = records[records[list(SUPERCLASSES)].sum(axis=1) == 1]
    return {name: _first(tables, alone[alone[name]], name) for name in SUPERCLASSES}


def _first(tables: Tables, rows: pd.DataFrame, superclass: str) -> Example:
    for example in _examples(tables, rows):
        return example
    raise ExampleError(
        f"tree: {tables.tree}: fold {VALIDATION_FOLD} has no undisturbed record of {superclass} alone, diagnosed with "
        "certainty and readable at 100 Hz; one of each class is needed"
    )


def _examples(tables: Tables, rows: pd.DataFrame) -> Iterator[Example]:
    found = [(json.loads(row["scp_codes"]), row) for row in rows.to_dict("records")]
    for codes, row in sorted(found, key=lambda pair: len(pair[0])):
        if any(likelihood < 100 for code, likelihood in codes.items() if code in tables.classes):
            continue
        try:
            recording = _recording(tables.tree, row)
        except (UnreadableRecord, RecordingError):
            continue
        if examine(recording).flags:
            continue
        where = f"record {row['ecg_id']} of fold {VALIDATION_FOLD}, on which no network was trained"
        source, noted = ("A simulated tree", "It has") if tables.simulated else ("PTB-XL", "Cardiologists noted")
        yield Example(
            recording.record,
            f"{'Simulated' if tables.simulated else 'PTB-XL'}: record {row['ecg_id']}",
            f"{source}: {where}. {noted}: {statement_names(codes)}.",
        )


def _recording(tree: Path, row: Mapping[Hashable, Any]) -> Recording:
    patient = {name: None if np.isnan(row[name]) else float(row[name]) for name in FACTS}
    signal_mv = read_record(tree / str(row["filename"])) / 1000
    return build_recording(signal_mv, fs_hz=FS_HZ, leads=LEADS, patient=patient, record_id=f"ptb-xl-{row['ecg_id']}")
