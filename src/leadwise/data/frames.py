"""The frames that validation looks at: one row per record, ``record`` its ``ecg_id`` as the table spells it."""

import numpy as np
import pandas as pd

from leadwise.contract import SUPERCLASSES
from leadwise.data.labels import superclass_labels
from leadwise.data.reading import READ, WITHDRAWN_ABSENT
from leadwise.data.store import SPLIT_FOLDS
from leadwise.data.tables import AGE_OVER_89, NUMBER_COLUMNS, Tables, is_inside

WHOLE_NUMBERS = ("ecg_id", "patient_id", "strat_fold")
SPLIT_OF_FOLD = {fold: name for name, folds in SPLIT_FOLDS.items() for fold in folds}


def table_frame(tables: Tables) -> pd.DataFrame:
    """The table as numbers, and beside it, as text, whatever could not be understood."""
    text, frame = tables.database, tables.numbers()
    codes, problems = tables.scp_codes
    unknown = [", ".join(code for code in record if code not in tables.statements) or None for record in codes]
    outside = [None if pd.isna(name) or is_inside(name) else name for name in text["filename_lr"]]
    frame["age_or_hidden"] = frame["age"].mask(frame["age"] == AGE_OVER_89, 90.0)
    frame["split"] = frame["strat_fold"].map(SPLIT_OF_FOLD).astype(object)
    by_patient = frame.groupby("patient_id")
    frame["folds_of_patient"] = by_patient["strat_fold"].transform("nunique")
    frame["splits_of_patient"] = by_patient["split"].transform("nunique")
    frame["not_a_number"] = _not_numbers(text, frame)
    frame["outside_the_tree"] = pd.Series(outside, index=text.index, dtype=object)
    frame["unreadable_statements"] = pd.Series(problems, index=text.index, dtype=object)
    frame["unknown_statements"] = pd.Series(unknown, index=text.index, dtype=object)
    frame["filename"] = text["filename_lr"]
    for name in ("pacemaker", "infarction_stadium1", "infarction_stadium2"):
        frame[name] = text[name]
    frame.insert(0, "record", _record_names(tables))
    return frame


def _record_names(tables: Tables) -> pd.Series:
    return tables.database["ecg_id"].fillna("without ecg_id")


def _not_numbers(text: pd.DataFrame, numbers: pd.DataFrame) -> pd.Series:
    """``column: text`` of the last number column that is not a finite number, or not a whole one where it must be."""
    found = pd.Series([None] * len(text), index=text.index, dtype=object)
    for name in NUMBER_COLUMNS:
        wrong = text[name].notna() & ~np.isfinite(numbers[name])
        if name in WHOLE_NUMBERS:
            wrong |= numbers[name] % 1 > 0
        found[wrong] = name + ": " + text.loc[wrong, name].str.slice(0, 40)
    return found


def label_frame(tables: Tables) -> pd.DataFrame:
    """0 and 1 per superclass, ``unlabelled``, and ``NORM_and_other``."""
    labels = superclass_labels(tables.scp_codes[0], tables.classes)
    frame = pd.DataFrame(labels.astype(np.int64), columns=list(SUPERCLASSES), index=tables.database.index)
    frame["unlabelled"] = (~labels.any(axis=1)).astype(np.int64)
    frame["NORM_and_other"] = (labels[:, 0] & labels[:, 1:].any(axis=1)).astype(np.int64)
    frame.insert(0, "record", _record_names(tables))
    return frame


def fold_frame(tables: Tables) -> pd.DataFrame:
    """Per fold and superclass: its share in the fold, in standard errors from its share in all folds."""
    labels = label_frame(tables)[list(SUPERCLASSES)]
    share = labels.mean()
    folds = labels.groupby(tables.numbers()["strat_fold"])
    variance = pd.DataFrame({name: share[name] * (1 - share[name]) / folds.size() for name in SUPERCLASSES})
    frame = ((folds.mean() - share) / variance.where(variance > 0) ** 0.5).reset_index(drop=True)
    frame.insert(0, "record", [f"fold {fold:g}" for fold in folds.size().index])
    return frame


def signal_frame(summary: pd.DataFrame) -> pd.DataFrame:
    """``Reading.summary`` as validation looks at it; a record that should have been read shows why not."""
    frame = summary.drop(columns=["ecg_id", "filename", "reason"])
    frame.insert(0, "record", summary["ecg_id"].astype(str))
    frame["status"] = [
        status if status in (READ, WITHDRAWN_ABSENT) else f"{status}: {reason}"
        for status, reason in zip(summary["status"], summary["reason"], strict=True)
    ]
    return frame
