"""The gate before a model is scored on a cohort: its table and its recordings, checked in Great Expectations."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from leadwise.atomic import folder_written_atomically
from leadwise.contract import LEADS, SUPERCLASSES
from leadwise.datasets.base import Dataset
from leadwise.datasets.checks.validation import CRITICAL, Outcome, Validation
from leadwise.datasets.cohort import Cohort, CohortError, label_counts
from leadwise.ecg.formats import ReaderError
from leadwise.ecg.quality import quality_summary
from leadwise.ecg.record import Recording

READ = "read"
AT_ONCE = 32
"""Recordings that are held to be measured together: 8 MB of 10 s at 500 Hz."""
LONG = 2**20
"""Bytes of a recording that is measured at once, with those before it: 44 s at 500 Hz."""
MICROVOLTS_PER_MV = 1000.0
EQUAL_SPANS = 0.02
"""Leads of one heart differ in height: in LUDB's 200 recordings at their true scale the tallest lead spans at least
1.58 times what the lowest does."""
COHORT_FILE, TABLE_FILE, LEFT_OUT_FILE = "cohort.json", "records.parquet", "left_out.csv"

Use = Callable[[Mapping[Any, Any], Recording], object]
"""What is done with a recording once it is read: score it, say. It gets the row of the table as well."""
Progress = Callable[[int, int], object]
"""Told how many recordings were looked at, and of how many."""
NOT_RUN = "The suites of checks were not run: they need Great Expectations, and leadwise validate runs them."


@dataclass(frozen=True)
class CheckedCohort:
    """A cohort that passed.

    Attributes:
        table: the recordings that were read, columns ``cohort_columns()``, index 0, 1, 2...
        left_out: ``record_id``, ``source`` and ``reason`` of those that were not: left out on purpose, or unreadable.
        measured: what was measured of each that was read, in the order of ``table``.
        outcomes: of every check.
        counts: present, absent and unknown of each superclass, by source.
    """

    table: pd.DataFrame
    left_out: pd.DataFrame
    measured: pd.DataFrame
    outcomes: tuple[Outcome, ...]
    counts: pd.DataFrame

    @property
    def warnings(self) -> tuple[str, ...]:
        """Checks that failed and stopped nothing, a line each; or that none was run."""
        if not self.outcomes:
            return (NOT_RUN,)
        return tuple(str(one) for one in self.outcomes if not one.success and one.severity != CRITICAL)


def check_cohort(
    cohort: Cohort,
    source: Path,
    folder: Path,
    *,
    max_unreadable_share: float,
    split: str = "",
    use: Use | None = None,
    suites: bool = True,
    progress: Progress | None = None,
) -> CheckedCohort:
    """Check the table, read every recording once, and check what was read.

    The report lies in ``folder`` in either case: ``validation.json``, ``flagged.csv``, ``data_docs/``; and where it
    passed ``records.parquet``, ``left_out.csv`` and ``cohort.json`` (what was chosen, counted and warned of).

    Args:
        cohort: with its options chosen.
        source: the folder or file that holds it.
        folder: where the report goes.
        max_unreadable_share: share of absent or unreadable recordings above which it stops, 0 to 1.
        split: score only recordings of this part, ``test`` of PTB-XL, say; empty: all.
        use: called with every recording that can be read, in the order of the table.
        suites: whether they are run; without them whatever can be read is taken, ``max_unreadable_share`` counts for
            nothing, and ``CheckedCohort.warnings`` says so.
        progress: instead of a bar on the terminal.

    Raises:
        ValidationFailed: a critical check failed; the message lists each with counts and examples.
        CohortError: nothing is left to be scored.
    """
    source = Path(source)
    validation = Validation(source, "", cohort, has_summary=False, runs=suites)
    if isinstance(cohort, Dataset):
        # Its table can be brought to the columns of a cohort once it is what it must be.
        for name, frame in cohort.frames(cohort.read_tables(source, cohort.options.rate), ()).items():
            validation.check(name, frame)
        validation.stop_if_critical(folder)
    whole = cohort.records(source)
    if split and not whole["split"].eq(split).any():
        known = ", ".join(sorted(whole["split"].dropna().unique())) or "none"
        raise CohortError(f"{source}: split: received {split!r}; there is {known}")
    chosen = whole[whole["split"].eq(split)] if split else whole
    excluded = chosen["excluded"].notna()
    table = chosen[~excluded].reset_index(drop=True)
    if table.empty:
        reasons = "; ".join(chosen["excluded"].value_counts().index[:3])
        raise CohortError(f"{source}: all {len(chosen)} recordings of {cohort.title} are left out: {reasons}")
    validation.check("cohort", table_frame(table), max_unreadable_share)
    validation.stop_if_critical(folder)
    validation.measured = measured = _read_all(cohort, table, use, progress)
    validation.check("cohort_signals", measured, max_unreadable_share)
    validation.stop_if_critical(folder)
    is_read = measured["status"] == READ
    if not is_read.any():
        reasons = "; ".join(measured["status"].value_counts().index[:3])
        raise CohortError(f"{source}: none of {len(table)} recordings can be read: {reasons}")
    kept = table[is_read].reset_index(drop=True)
    left_out = pd.concat(
        [
            chosen.loc[excluded, ["record_id", "source", "excluded"]].rename(columns={"excluded": "reason"}),
            table.loc[~is_read, ["record_id", "source"]].assign(reason=measured.loc[~is_read, "status"]),
        ],
        ignore_index=True,
    )
    measured = measured[is_read].reset_index(drop=True)
    checked = CheckedCohort(kept, left_out, measured, tuple(validation.outcomes), label_counts(kept))
    with folder_written_atomically(folder) as beside:
        validation.write_report(beside)
        kept.to_parquet(beside / TABLE_FILE, index=False)
        left_out.to_csv(beside / LEFT_OUT_FILE, index=False)
        (beside / COHORT_FILE).write_text(json.dumps(described(cohort, source, checked), indent=1), encoding="utf-8")
    return checked


def described(cohort: Cohort, source: Path, checked: CheckedCohort) -> dict[str, Any]:
    """What a reader of a figure has to know of the recordings that it is about, ready for JSON."""
    counts = {
        str(group): {name: row[name].astype(int).to_dict() for name in SUPERCLASSES}
        for group, row in checked.counts.iterrows()
    }
    says = {name: getattr(cohort, name) for name in ("title", "citation", "licence", "about_patients")}
    return (
        {"dataset": cohort.name}
        | says
        | {
            "source": str(source),
            "options": cohort.options.model_dump(mode="json"),
            "assumptions": list(cohort.assumptions()),
            "traps": list(cohort.traps),
            "records": len(checked.table),
            "left_out": len(checked.left_out),
            "counts": counts,
            "warnings": list(checked.warnings),
        }
    )


def table_frame(table: pd.DataFrame) -> pd.DataFrame:
    """A cohort's table as the suite ``cohort`` looks at it."""
    numbered = "row " + (table.index + 1).astype(str).to_series(index=table.index) + " (no id)"
    frame = pd.DataFrame({"record": table["record_id"].fillna(numbered)})
    for name in ("record_id", "patient_id", "path", "unknown_codes", "fact_problems"):
        frame[name] = table[name].astype(object).where(table[name].notna(), None)
    frame["age"], frame["sex"] = table["age"], table["sex"]
    frame["absent_file"] = [
        "no file is named" if path is None else None if Path(path).is_file() else f"{file} does not exist"
        for path, file in zip(frame["path"], table["file"], strict=True)
    ]
    frame["age_is_known"] = table["age"].notna().astype(np.float64)
    frame["labels_known"] = table[list(SUPERCLASSES)].notna().sum(axis=1)
    others = table[[name for name in SUPERCLASSES if name != "NORM"]].fillna(False).any(axis=1)
    frame["norm_and_other"] = (table["NORM"].fillna(False) & others).astype(np.int64)
    frame["splits_of_patient"] = table.groupby("patient_id")["split"].transform("nunique").astype(np.float64)
    return frame


def _read_all(cohort: Cohort, table: pd.DataFrame, use: Use | None, progress: Progress | None) -> pd.DataFrame:
    """Read every recording, and measure it, as the suite ``cohort_signals`` looks at it."""
    from tqdm import tqdm

    rate_hz = cohort.rate_hz()
    rows: list[dict[str, Any]] = []
    first: dict[bytes, str] = {}
    waiting: list[tuple[dict[str, Any], np.ndarray]] = []
    bar = tqdm(table.to_dict("records"), desc="recordings", unit="rec", disable=True if progress else None)
    for done, given in enumerate(bar):
        if progress is not None:
            progress(done, len(table))
        row: dict[str, Any] = {"record": given["record_id"], "status": "no file is named"}
        rows.append(row)
        if pd.isna(given["path"]):
            continue
        try:
            recording = cohort.read(given)
        except ReaderError as error:
            row["status"] = f"{error.field}: {error.problem}"
            continue
        signal_mv = recording.record.signal_mv
        row |= {"status": READ} | _measures(recording, rate_hz)
        earlier = first.setdefault(hashlib.sha256(signal_mv.tobytes()).digest(), row["record"])
        row["same_as"] = earlier if earlier != row["record"] else None
        waiting.append((row, signal_mv))
        if len(waiting) == AT_ONCE or signal_mv.nbytes > LONG:
            _measure_quality(waiting)
            waiting.clear()
        if use is not None:
            use(given, recording)
    _measure_quality(waiting)
    if progress is not None:
        progress(len(table), len(table))
    frame = pd.DataFrame(rows, columns=list(NOTHING))
    for name in NUMBERS:
        frame[name] = pd.to_numeric(frame[name]).astype(np.float64)
    for name in TEXTS:
        frame[name] = frame[name].astype(object).where(frame[name].notna() & (frame[name] != ""), None)
    return frame


TEXTS = ("other_rate", "scaled_leads", "flat_leads", "clipped_leads", "limb_reversal", "chest_reversal", "same_as")
NUMBERS = (
    "fs_hz", "seconds", "filled_samples", "largest_mv", "steepest_mv_per_ms", "baseline_mv", "hum_uv", "noise_uv",
    "limb_leads_uv", "augmented_leads_uv",
)  # fmt: skip
NOTHING: Mapping[str, None] = dict.fromkeys(("record", "status", *NUMBERS, *TEXTS))
"""The columns that are there even if no recording can be read."""


def _measures(recording: Recording, rate_hz: float | None) -> dict[str, Any]:
    """What is measured of one recording alone."""
    signal_mv, fs_hz = recording.record.signal_mv, recording.record.fs_hz
    spans = np.ptp(signal_mv, axis=0)
    scaled = spans.min() > 0 and spans.max() / spans.min() < 1 + EQUAL_SPANS
    return {
        "fs_hz": fs_hz,
        "seconds": len(signal_mv) / fs_hz,
        "filled_samples": sum(recording.missing.values()),
        "other_rate": None if rate_hz is None or fs_hz == rate_hz else f"{fs_hz:g} Hz, not {rate_hz:g}",
        "scaled_leads": f"all {len(LEADS)} leads span {spans.mean():.3g} mV" if scaled else None,
    }


def _measure_quality(recordings: Sequence[tuple[dict[str, Any], np.ndarray]]) -> None:
    """Add what ``quality_summary`` measures to rows; those of one rate and length together, which is quicker."""
    alike: dict[tuple[float, int], list[tuple[dict[str, Any], np.ndarray]]] = {}
    for row, signal_mv in recordings:
        alike.setdefault((row["fs_hz"], len(signal_mv)), []).append((row, signal_mv))
    for (fs_hz, _), members in alike.items():
        signals_uv = np.stack([signal_mv for _, signal_mv in members]) * np.float32(MICROVOLTS_PER_MV)
        measured = quality_summary(signals_uv, fs_hz).to_dict("records")
        for (row, _), of_one in zip(members, measured, strict=True):
            row |= {str(name): value for name, value in of_one.items() if name in NOTHING}
