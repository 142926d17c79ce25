"""The gate of a version for one site: better calibrated on patients that it has not seen, and otherwise the same."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leadwise.contract import SUPERCLASSES
from leadwise.evaluation.bootstrap import Estimate, mean_of, percentile_interval
from leadwise.evaluation.cohort_metrics import FEWEST_KNOWN
from leadwise.evaluation.decisions import TARGET_POLICY
from leadwise.evaluation.metric_registry import CHOSEN
from leadwise.evaluation.recalibration import Recalibration
from leadwise.evaluation.site_comparison import Compared
from leadwise.evaluation.thresholds import TARGETS
from leadwise.registry.cohort_scoring import ScoredCohort, request_of
from leadwise.registry.gate.report import ROUND_TRIP, Check, GateReport
from leadwise.registry.load import load_scorer
from leadwise.registry.register import JudgedVersion
from leadwise.registry.smoke_test import LARGEST_DIFFERENCE, RoundTripError, compare_answers, serving_smoke_test
from leadwise.serving.request_parsing import RequestParams
from leadwise.serving.scorer import RegisteredVersion

REPLICATES = 1000
ASKED = 20
"""Recordings that the registered version is asked, to see that it answers what was judged."""
ROUNDED_BY = 1e-6
"""Answers have six digits after the point; half of the last one, and as much again for what float32 leaves."""


@dataclass(frozen=True)
class SiteReport(GateReport):
    """What the gate found out about a version for a site.

    Attributes:
        site: its name.
    """

    site: str = ""

    @property
    def verdict(self) -> str:
        """In one sentence."""
        origin = f"version {self.champion}" if self.champion else "the package that it was made from"
        who = f"{self.name} version {self.version} for site {self.site}, compared with {origin}"
        if self.failed:
            return f"Gate FAILED: {who}: {'; '.join(f'{check.name}: {check.measured}' for check in self.failed)}."
        return f"Gate passed: {who}: {sum(check.passed is True for check in self.checks)} checks passed."


def judge_site(
    version: JudgedVersion,
    origin: RegisteredVersion | None,
    site: str,
    scored: ScoredCohort,
    rows: NDArray[np.int64],
    found: Recalibration,
    compared: Compared,
) -> SiteReport:
    """Every check.

    Args:
        version: what was registered.
        origin: what it was made from; ``None``: no registered version.
        site: its name.
        scored: the site's recordings.
        rows: places in its table of those that judge.
        found: what the version is to do to the answers of what it was made from.
        compared: figures of these rows.
    """
    counts = ", ".join(f"{name} {labels.present}" for name, labels in compared.known.items())
    patients = len(np.unique(scored.patients[rows]))
    return SiteReport(
        name=version.name,
        version=version.version,
        model=version.package.model,
        champion=origin.version if origin else None,
        simulated=version.package.simulated or not scored.cohort.about_patients,
        compared_on=(
            f"Figures: the {len(rows):,} recordings of {patients:,} patients of {scored.cohort.title} that were not "
            f"fitted on (positives: {counts}), data {scored.digest[:12]}. Differences: {REPLICATES:,} paired bootstrap "
            "replicates by patient."
        ),
        checks=[
            _answers(version),
            _same_as_judged(version, scored, rows, found),
            *calibration_checks(compared),
            *policy_checks(compared),
        ],
        site=site,
    )


def _answers(version: JudgedVersion) -> Check:
    allowed = f"the package's answer, within {LARGEST_DIFFERENCE:g}"
    try:
        served = serving_smoke_test(version.uri, version.package.example, repeats=1)
        off = compare_answers(version.expected, served.example, model_uri=version.uri)
    except RoundTripError as error:
        return Check(ROUND_TRIP, "no answer, or another", allowed, False, str(error))
    return Check(ROUND_TRIP, f"{off:.2g} off", allowed, True, f"ready after {served.load_s:.1f} s", off)


def _same_as_judged(
    version: JudgedVersion, scored: ScoredCohort, rows: NDArray[np.int64], found: Recalibration
) -> Check:
    """Whether the registered version answers what the figures are of, but for what answers are rounded by."""
    some, table = rows[:ASKED], scored.checked.table
    recordings = [scored.cohort.read(table.iloc[row].to_dict()) for row in some]
    answers = load_scorer(version.uri).answers_to(map(request_of, recordings), RequestParams())
    given = np.array([[answer["probabilities"][label] for label in SUPERCLASSES] for answer in answers])
    before = scored.probabilities[some]
    low, high = (found.apply(np.clip(before + off, 0, 1)) for off in (-ROUNDED_BY, ROUNDED_BY))
    beyond = float(np.maximum(low - given, given - high).max().clip(min=0))
    name, note = "answers differ by the calibration alone", f"{len(given)} recordings"
    return Check.at_most(name, beyond, LARGEST_DIFFERENCE, shown="{:.1g}", note=note)


def calibration_checks(compared: Compared) -> Iterator[Check]:
    """Log loss must be lower beyond chance; no class may be worse beyond chance; the ranking must be the same."""
    measured = compared.measured
    if not measured:
        few = f"no class has {FEWEST_KNOWN} recordings with and without it"
        yield Check("log loss", few, "interval below 0", False, "nothing can be judged: bring more labels")
        return
    yield _lower("log loss", "log_loss", compared)
    yield _lower("calibration error", "ece", compared, clearly=False)
    for label in measured:
        yield _lower(f"log loss {label}", f"log_loss/{label}", compared, clearly=False)
    off = max(abs(compared.difference(f"auroc/{label}").value) for label in measured)
    yield Check.at_most("ranking: largest difference of AUROC", off, 1e-9, shown="{:.1g}")


def _lower(name: str, key: str, compared: Compared, *, clearly: bool = True) -> Check:
    """An error that is lower beyond chance, or at least not higher beyond chance."""
    (before, after), change = compared.pair(key), compared.difference(key)
    low, high = change.interval.low, change.interval.high
    measured = f"{before.value:.4f} -> {after.value:.4f}, {change.value:+.4f} [{low:+.4f}, {high:+.4f}]"
    if clearly:
        return Check(name, measured, "interval below 0", bool(high < 0), value=change.value)
    return Check(name, measured, "interval not above 0", bool(low <= 0), value=change.value)


def policy_checks(compared: Compared) -> Iterator[Check]:
    """The policy that names targets must keep them, or what was reached before; of others sensitivities are told.

    It fails where the whole interval lies below both: half of a small site cannot prove a sensitivity. A target must
    not be reached by reporting everybody either: sensitivity and specificity together must not be clearly lower.
    """
    for policy in compared.before:
        for label in compared.measured:
            target = TARGETS[label]
            measure = target.measure if policy == TARGET_POLICY else "sensitivity"
            before, after = compared.pair(f"{CHOSEN}{measure}/{label}", policy)
            interval = after.interval
            told = f"{before.value:.3f} -> {after.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
            name = f"{measure} {label}, {policy}"
            if policy == TARGET_POLICY:
                asked = min(before.value, target.value)
                other = "specificity" if measure == "sensitivity" else "sensitivity"
                was, now = compared.pair(f"{CHOSEN}{other}/{label}", policy)
                note = f"{other} {was.value:.3f} -> {now.value:.3f}"
                passed = bool(interval.high >= asked)
                yield Check(name, told, f"{asked:.3f} within it", passed, note, after.value)
                yield _not_less(f"sensitivity + specificity {label}, {policy}", (before, was), (after, now))
            else:
                yield Check(name, told, "", None, "no target: weighed against false alarms")


def _not_less(name: str, before: tuple[Estimate, Estimate], after: tuple[Estimate, Estimate]) -> Check:
    """The sum of two rates is not lower beyond chance."""
    values = [one.value + other.value for one, other in (before, after)]
    interval = percentile_interval(mean_of(after).replicates - mean_of(before).replicates)
    low, high = 2 * interval.low, 2 * interval.high
    told = f"{values[0]:.3f} -> {values[1]:.3f}, {values[1] - values[0]:+.3f} [{low:+.3f}, {high:+.3f}]"
    return Check(name, told, "interval not below 0", bool(high >= 0), value=values[1])
