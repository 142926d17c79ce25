"""Privileged targets: what is written about a recording, as things to predict in training, never as inputs.

The report's words and pairs of words, the heart's axis, the stages of an infarction and the likelihood of each
statement are read off the diagnosis, so that no model may see them. A network that learns to predict them beside the
superclasses learns from the same recording what a cardiologist wrote about it (learning with privileged information:
Vapnik and Vashist, Neural Networks 2009). The targets exist for the training records alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from leadwise.contract import STATEMENTS
from leadwise.datasets.metadata import STADIUM_CODES
from leadwise.datasets.store import Store

WORD = r"(?u)\b[^\W\d_]{3,}\b"
"""A word of a report: three letters or more."""
WORD_SHARE = (0.01, 0.6)
"""Words in fewer or more of the training reports than this are no targets: too rare to learn, or said of most."""
STAGE_COLUMNS = ("infarction_stadium1", "infarction_stadium2")


@dataclass(frozen=True)
class PrivilegedTargets:
    """What is to be predicted beside the superclasses.

    Attributes:
        names: one per column, such as ``word/linkstyp``, ``axis/LAD``, ``stage1/II``, ``likelihood/IMI``.
        values: ``(record, target)`` float32 from 0 to 1, in the order of the rows that were asked for.
    """

    names: tuple[str, ...]
    values: np.ndarray


def privileged_targets(store: Store, rows: np.ndarray) -> PrivilegedTargets:
    """Read the targets of the training records; the words are chosen among those of the same records.

    Args:
        store: the ingested data.
        rows: row numbers of the training records.

    Raises:
        StoreError: the store holds no ``privileged.parquet``.
    """
    written, records = store.privileged().iloc[rows], store.records.iloc[rows]
    parts = [
        _words(written["report"]),
        _categories("axis", written["heart_axis"], sorted(written["heart_axis"].dropna().unique())),
        *(_categories(f"stage{k}", records[name], tuple(STADIUM_CODES)) for k, name in enumerate(STAGE_COLUMNS, 1)),
        _likelihoods(store, rows),
    ]
    names = tuple(name for found, _ in parts for name in found)
    return PrivilegedTargets(names, np.concatenate([values for _, values in parts], axis=1, dtype=np.float32))


def _words(reports: pd.Series) -> tuple[list[str], np.ndarray]:
    """Whether each common word, or pair of neighbouring words, stands in the report."""
    from sklearn.feature_extraction.text import CountVectorizer

    low, high = WORD_SHARE
    counter = CountVectorizer(binary=True, min_df=low, max_df=high, ngram_range=(1, 2), token_pattern=WORD)
    try:
        found = counter.fit_transform(reports.fillna(""))
    except ValueError:
        # No word is common enough, or there are no reports.
        return [], np.zeros((len(reports), 0), dtype=np.float32)
    return [f"word/{name}" for name in counter.get_feature_names_out()], found.toarray().astype(np.float32)


def _categories(group: str, values: pd.Series, known: Sequence[str]) -> tuple[list[str], np.ndarray]:
    columns = [(values == name).to_numpy(dtype=np.float32) for name in known]
    stacked = np.stack(columns, axis=1) if columns else np.zeros((len(values), 0), dtype=np.float32)
    return [f"{group}/{name}" for name in known], stacked


def _likelihoods(store: Store, rows: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Likelihood of each statement from 0 to 1; 0 percent means unknown, and counts as said without a doubt."""
    values = np.zeros((len(rows), len(STATEMENTS)), dtype=np.float32)
    for place, codes in enumerate(store.scp_codes(rows)):
        for code, percent in codes.items():
            if code in STATEMENTS:
                values[place, STATEMENTS.index(code)] = percent / 100 if percent else 1.0
    return [f"likelihood/{code}" for code in STATEMENTS], values
