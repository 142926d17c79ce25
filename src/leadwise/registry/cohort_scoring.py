"""A cohort scored by a served package: every recording checked, read once, and answered as a server would."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadwise.contract import SUPERCLASSES
from leadwise.datasets.base import Dataset
from leadwise.datasets.checks.cohort import CheckedCohort, Progress, check_cohort
from leadwise.datasets.cohort import Cohort, CohortError
from leadwise.decision import Policy
from leadwise.ecg.record import Recording
from leadwise.features import asked_names
from leadwise.serving.request import Answer, Request, message_of
from leadwise.serving.request_parsing import RequestParams
from leadwise.serving.scorer import Scorer

ANSWERED_TOGETHER = 64
"""Recordings that are held to go through the network together: 15 MB of 10 s at 500 Hz."""
MOST_HELD = 64 * 2**20
"""Bytes of the recordings that are held, where some are long."""
TEST_SPLIT = "test"
AUTO, ALL = "auto", "all"


@dataclass(frozen=True)
class ScoredCohort:
    """The recordings of a cohort and what the model made of them, row by row.

    Attributes:
        cohort: with its options chosen.
        source: the folder or file that holds it.
        split: the part that was scored; empty: all.
        checked: the recordings that were read, and those that were left out.
        answers: a row per row of ``checked.table``: ``record_id``; of each superclass ``p_*`` calibrated probability,
            ``said_*`` decision and ``uncertain_*``, missing where the model refused; ``flags`` of quality and
            ``warnings``, with ``; `` between them; ``error_code`` and ``error``, missing where it answered.
        policy_name: which thresholds decided.
        policy: they themselves.
        digest: SHA-256 of what was scored and of its labels, in their order.
        without: features that the model was not told.
    """

    cohort: Cohort
    source: Path
    split: str
    checked: CheckedCohort
    answers: pd.DataFrame
    policy_name: str
    policy: Policy
    digest: str
    without: tuple[str, ...] = ()

    @cached_property
    def answered(self) -> NDArray[np.bool_]:
        """``(record,)``: whether the model answered."""
        return self.answers["error_code"].isna().to_numpy()

    @cached_property
    def flagged(self) -> NDArray[np.bool_]:
        """``(record,)``: whether something about the quality was flagged."""
        return (self.answers["flags"].fillna("") != "").to_numpy() & self.answered

    @cached_property
    def labels(self) -> NDArray[np.float64]:
        """``(record, class)``: 1 present, 0 absent, NaN unknown."""
        return self.checked.table[list(SUPERCLASSES)].to_numpy(dtype=np.float64, na_value=np.nan)

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """``(record, class)``, calibrated; NaN where the model refused."""
        return self.answers[[f"p_{name}" for name in SUPERCLASSES]].to_numpy(np.float64)

    @cached_property
    def patients(self) -> NDArray[Any]:
        """``(record,)``: the patient of each; a recording without one counts as a patient of its own."""
        table = self.checked.table
        own = "record " + table["record_id"].astype("str")
        return table["patient_id"].where(table["patient_id"].notna(), own).to_numpy(dtype=str)

    def write(self, file: Path) -> None:
        """Write recordings, labels and answers, a row each, as Parquet."""
        table = self.checked.table.drop(columns=["path"])
        table.join(self.answers.drop(columns=["record_id"])).to_parquet(file, index=False)


def score_cohort(
    cohort: Cohort,
    source: Path,
    scorer: Scorer,
    folder: Path,
    *,
    policy: str | None = None,
    split: str = AUTO,
    max_unreadable_share: float = 0.01,
    without: tuple[str, ...] = (),
    suites: bool = True,
    progress: Progress | None = None,
) -> ScoredCohort:
    """Check a cohort, read every recording once, and have it answered with the facts of its row.

    Args:
        cohort: with its options chosen.
        source: the folder or file that holds it.
        scorer: of a package.
        folder: where the report of the checks goes.
        policy: which thresholds decide; ``None``: those that the package prefers.
        split: the part to score; ``auto``: the test part of a dataset that models are trained on, else all; ``all``.
        max_unreadable_share: share of absent or unreadable recordings above which it stops, 0 to 1.
        without: features that the model is not told.
        suites: whether the suites of checks are run, as ``check_cohort`` takes it.
        progress: instead of a bar on the terminal.

    Raises:
        ValidationFailed: a critical check failed.
        CohortError: there is no such policy, or nothing is left to be scored.
    """
    name = policy or scorer.fusion.policy
    if name not in scorer.fusion.policies:
        raise CohortError(f"policy: received {name!r}; allowed: {', '.join(scorer.fusion.policies)}")
    if split == AUTO:
        split = TEST_SPLIT if isinstance(cohort, Dataset) else ""
    part = "" if split == ALL else split
    together, asked = replace(scorer, together=ANSWERED_TOGETHER), RequestParams(policy=name)
    waiting: list[Request] = []
    rows: list[dict[str, Any]] = []
    seen = hashlib.sha256()

    def answer() -> None:
        for request, answered in zip(waiting, together.answers_to(waiting, asked), strict=True):
            rows.append({"record_id": request.record_id} | _row(answered))
        waiting.clear()

    def use(row: Mapping[str, Any], recording: Recording) -> None:
        known = [
            None if one in without or pd.isna(row[one]) else float(row[one]) for one in (*asked_names(), *SUPERCLASSES)
        ]
        seen.update(json.dumps([row["record_id"], *known]).encode())
        seen.update(np.ascontiguousarray(recording.record.signal_mv, dtype="<f4").tobytes())
        waiting.append(request_of(recording, without))
        held = sum(request.record.signal_mv.nbytes for request in waiting if request.record)
        if len(waiting) == ANSWERED_TOGETHER or held > MOST_HELD:
            answer()

    checked = check_cohort(
        cohort,
        source,
        folder,
        max_unreadable_share=max_unreadable_share,
        split=part,
        use=use,
        suites=suites,
        progress=progress,
    )
    answer()
    limits = scorer.fusion.policies[name]
    digest = seen.hexdigest()
    return ScoredCohort(cohort, Path(source), part, checked, answer_table(rows), name, limits, digest, without)


def request_of(recording: Recording, without: Collection[str] = ()) -> Request:
    """What a scorer is asked about a recording, but for some features of the patient."""
    patient = recording.record.patient
    facts = {name: float(value) for name, value in patient.items() if value is not None and name not in without}
    return Request(recording.record.record_id, recording, facts, ())


def answer_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as ``ScoredCohort.answers`` has them; what a row lacks is missing."""
    texts = ["flags", "warnings", "error_code", "error"]
    numbers = [f"p_{name}" for name in SUPERCLASSES]
    truths = [f"{kind}_{name}" for kind in ("said", "uncertain") for name in SUPERCLASSES]
    table = pd.DataFrame(list(rows), columns=["record_id", *numbers, *truths, *texts], dtype=object)
    types = dict.fromkeys(numbers, "float64") | dict.fromkeys(truths, "boolean") | dict.fromkeys(texts, "str")
    return table.astype({"record_id": "str"} | types)


def _row(answer: Answer) -> dict[str, Any]:
    if "error" in answer:
        error = answer["error"]
        return {"error_code": error["code"], "error": message_of(error)}
    kinds = {"p": "probabilities", "said": "decisions", "uncertain": "uncertain"}
    found = {f"{kind}_{name}": answer[key][name] for kind, key in kinds.items() for name in SUPERCLASSES}
    flags = dict.fromkeys(flag["flag"] for flag in answer["quality"])
    return found | {"flags": "; ".join(flags), "warnings": "; ".join(answer["warnings"])}
