"""From the SCP-ECG statements of a record to the five diagnostic superclasses.

A record has a superclass if any key of its ``scp_codes`` is a diagnostic statement of that class. The likelihood is
ignored: 0 means unknown, not absent (Wagner et al., Scientific Data 2020, 7:154; Strodthoff et al. 2021).
"""

import ast
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from leadwise.contract import STATEMENTS, SUPERCLASSES, LeadwiseError

MAX_TEXT = 10_000
"""Characters of the longest ``scp_codes`` that is parsed; the longest of PTB-XL has 180."""


class LabelError(LeadwiseError):
    """SCP codes cannot be read; the message names the record and what was received."""


def parse_scp_codes(text: str, ecg_id: object) -> dict[str, float]:
    """Statement -> likelihood in percent, from the Python literal that PTB-XL stores, without running it.

    Raises:
        LabelError: the text is not a dict of statement to number; the message names ``ecg_id``.
    """
    where = f"ecg_id {ecg_id}: scp_codes"
    if not isinstance(text, str):
        raise LabelError(f"{where}: received nothing; a dict of statement to likelihood is needed")
    if len(text) > MAX_TEXT:
        raise LabelError(f"{where}: received {len(text)} characters; at most {MAX_TEXT} are allowed")
    try:
        codes = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        raise LabelError(f"{where}: received {text[:60]!r}; a dict of statement to likelihood is needed") from None
    if not isinstance(codes, dict):
        raise LabelError(f"{where}: received {text[:60]!r}; a dict of statement to likelihood is needed")
    for code, likelihood in codes.items():
        number = isinstance(likelihood, int | float) and not isinstance(likelihood, bool) and 0 <= likelihood <= 100
        if not isinstance(code, str) or not number:
            raise LabelError(f"{where}: received {f'{code!r}: {likelihood!r}'[:60]}; a number from 0 to 100 is needed")
    return {code: float(likelihood) for code, likelihood in codes.items()}


def diagnostic_classes(statements: pd.DataFrame) -> dict[str, str]:
    """Diagnostic statement -> superclass, from the table of SCP statements (index: statement).

    Raises:
        LabelError: a diagnostic statement has a class that is not one of ``SUPERCLASSES``.
    """
    diagnostic = statements[pd.to_numeric(statements["diagnostic"], errors="coerce") == 1]
    classes = {str(code): str(name) for code, name in diagnostic["diagnostic_class"].items()}
    for code, name in classes.items():
        if name not in SUPERCLASSES:
            raise LabelError(f"statement {code}: diagnostic_class {name!r}; allowed: {', '.join(SUPERCLASSES)}")
    return classes


def superclass_labels(codes: Iterable[Mapping[str, float]], classes: Mapping[str, str]) -> np.ndarray:
    """``(record, 5)`` bool in the order of ``SUPERCLASSES``; all false where no statement is diagnostic."""
    found = [{classes[code] for code in record if code in classes} for record in codes]
    return np.array([[name in record for name in SUPERCLASSES] for record in found], dtype=bool).reshape(-1, 5)


def statement_labels(codes: Iterable[Mapping[str, float]]) -> np.ndarray:
    """``(record, 71)`` bool in the order of ``STATEMENTS``, whatever the likelihood."""
    found = [set(record) for record in codes]
    return np.array([[name in record for name in STATEMENTS] for record in found], dtype=bool).reshape(-1, 71)


def label_counts(labels: np.ndarray) -> dict[str, int]:
    """Records per superclass and without any, from ``(record, 5)`` bool."""
    counts = {name: int(count) for name, count in zip(SUPERCLASSES, labels.sum(axis=0), strict=True)}
    return counts | {"unlabelled": int((~labels.any(axis=1)).sum())}
