"""How well a served model does on a cohort, beside PTB-XL's fold 10 and what published networks lose on the way."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from leadwise.contract import SUPERCLASSES, LeadwiseError
from leadwise.evaluation.bootstrap import Estimate, patient_weights, values_and_intervals, with_bounds
from leadwise.evaluation.cohort_metrics import FEWEST_KNOWN, KnownLabels, cohort_estimates, known_labels
from leadwise.evaluation.metrics import log_loss
from leadwise.evaluation.subgroups import (
    PartDecisions,
    SubgroupResult,
    cohort_subgroups,
    decisions_by_part,
    evaluate_subgroups,
)

EXPECTED_DROP = (0.03, 0.08)
"""Of a macro AUROC from PTB-XL's fold 10 to other hospitals: networks trained on PTB-XL fell from 0.937 to 0.892 on
Chapman-Shaoxing and 0.887 on Ningbo (13 labels), and to 0.931 on SPH (the superclasses)."""
SUSPECT = 0.75
"""A macro AUROC below this is no hospital's doing: units, leads or labels are wrong."""
SAME = 0.001
"""By how much a macro AUROC may be off where the same recordings are scored again."""
LOGGED = ("macro_auroc", "macro_auprc", "ece", "log_loss", "chosen/macro_sensitivity", "chosen/macro_specificity")
"""Means that are logged with their interval."""

VerdictName = Literal["as_before", "better", "as_expected", "worse", "look_for_a_bug", "told_less", "cannot_tell"]


@dataclass(frozen=True)
class Reference:
    """What the model's package says of PTB-XL's fold 10, or of its simulation's.

    Attributes:
        dataset: name of the dataset that it was trained on.
        metrics: ``macro_auroc``, ``ece``, and ``auroc/CLASS`` where the package has it.
        rates: measure -> class -> value, low and high, at the policy in use; empty where the package has none.
        simulated: whether it was trained on simulated data.
    """

    dataset: str
    metrics: Mapping[str, float]
    rates: Mapping[str, Mapping[str, Sequence[float]]]
    simulated: bool

    @classmethod
    def of_package(cls, description: Mapping[str, Any], policy: str) -> "Reference":
        """Of the content of ``model.json``."""
        network, simulated = description["networks"]["fusion"], bool(description["simulated"])
        # Packages of before named the data by this alone.
        dataset = description["data"].get("dataset", "synthetic" if simulated else "ptbxl")
        rates = network.get("policy_rates", {}).get(policy, {})
        return cls(str(dataset), {name: float(value) for name, value in network["test"].items()}, rates, simulated)

    def mean(self, name: str, counted: Sequence[str]) -> float | None:
        """A mean over some classes, by its name in ``LOGGED``; ``None`` where the package does not say it."""
        metric = name.removeprefix("chosen/").removeprefix("macro_")
        if metric in self.rates:
            of_class = {label: float(value[0]) for label, value in self.rates[metric].items()}
        elif len(counted) == len(SUPERCLASSES):
            return self.metrics.get(name)
        else:
            start = f"{metric}/"
            of_class = {key.removeprefix(start): value for key, value in self.metrics.items() if key.startswith(start)}
        known = [of_class[label] for label in counted if label in of_class]
        return float(np.mean(known)) if known and len(known) == len(counted) else None


@dataclass(frozen=True)
class Verdict:
    """What to make of a macro AUROC elsewhere.

    Attributes:
        name: for programs.
        says: in plain sentences.
        drop: from fold 10; NaN where it cannot be told.
    """

    name: VerdictName
    says: str
    drop: Estimate


@dataclass(frozen=True)
class Disagreement:
    """A recording in which the model and the label are furthest apart.

    Attributes:
        place: of the row in the cohort's table.
        superclass: in which they differ.
        present: what the label says.
        probability: what the model says.
    """

    place: int
    superclass: str
    present: bool
    probability: float


@dataclass(frozen=True)
class CohortEvaluation:
    """The figures of one model on one cohort.

    Attributes:
        known: class -> answered recordings that have it, have it not, and of which it is not known.
        metrics: as ``cohort_metrics`` names them.
        unflagged: the same without recordings whose quality was flagged; empty where none was.
        without_flagged: what the means of ``LOGGED`` and every AUROC gain without them, paired; in the same way.
        flags: flag -> recordings.
        refused: code of the error -> recordings.
        subgroups: by sex, age, source and device.
        by_part: sensitivity and specificity by age and sex.
        reference: of the model's own test data.
        verdict: what to make of the macro AUROC.
        without: features that the model was not told.
        records: answered recordings.
        patients: of them.
        bootstrap: replicates behind the intervals.
        seed: of the bootstrap.
    """

    known: Mapping[str, KnownLabels]
    metrics: Mapping[str, Estimate]
    unflagged: Mapping[str, Estimate]
    without_flagged: Mapping[str, Estimate]
    flags: Mapping[str, int]
    refused: Mapping[str, int]
    subgroups: Sequence[SubgroupResult]
    by_part: Sequence[PartDecisions]
    reference: Reference
    verdict: Verdict
    without: Sequence[str]
    records: int
    patients: int
    bootstrap: int
    seed: int

    @property
    def counted(self) -> list[str]:
        """The classes that count in the means."""
        return [name for name, known in self.known.items() if known.is_enough]

    def logged_metrics(self, prefix: str) -> dict[str, float]:
        """``PREFIXmacro_auroc``, ``PREFIXauroc/MI`` and so on for the tracking UI; what is undefined is left out."""
        found: dict[str, float] = {
            "records": self.records,
            "patients": self.patients,
            "refused": sum(self.refused.values()),
        }
        found |= {name: estimate.value for name, estimate in self.metrics.items()}
        found |= with_bounds(self.metrics, LOGGED)
        for state in ("present", "absent"):
            found |= {f"{state}/{name}": getattr(known, state) for name, known in self.known.items()}
        found["drop"] = self.verdict.drop.value
        for group in self.subgroups:
            if "macro_auroc" in group.found:
                found[f"subgroup/{group.kind}/{group.name}/macro_auroc"] = group.found["macro_auroc"].value
        return {prefix + name: float(value) for name, value in found.items() if math.isfinite(value)}

    def to_dict(self) -> dict[str, Any]:
        """For ``metrics.json``; what is undefined is ``null`` there."""
        return {
            "records": self.records,
            "patients": self.patients,
            "without": list(self.without),
            "labels": {name: asdict(known) for name, known in self.known.items()},
            "fewest_known": FEWEST_KNOWN,
            "counted_in_means": self.counted,
            "bootstrap": {"replicates": self.bootstrap, "seed": self.seed, "unit": "patient", "level": 0.95},
            **values_and_intervals(self.metrics),
            "reference": {
                "dataset": self.reference.dataset,
                "metrics": dict(self.reference.metrics),
                "policy_rates": {name: dict(values) for name, values in self.reference.rates.items()},
            },
            "verdict": {
                "name": self.verdict.name,
                "says": self.verdict.says,
                "drop": self.verdict.drop.to_dict(),
                "expected_drop": list(EXPECTED_DROP),
                "suspect_below": SUSPECT,
            },
            "flags": dict(self.flags),
            "refused": dict(self.refused),
            "without_flagged": {name: estimate.to_dict() for name, estimate in self.without_flagged.items()},
            "subgroups": [group.to_dict() for group in self.subgroups],
            "by_part": [part.to_dict() for part in self.by_part],
        }


def evaluate_cohort(
    table: pd.DataFrame,
    answers: pd.DataFrame,
    patients: NDArray[Any],
    *,
    thresholds: NDArray[np.float64],
    reference: Reference,
    own_test: bool,
    bootstrap: int,
    seed: int,
    without: Sequence[str] = (),
) -> CohortEvaluation:
    """Measure a model where its answers and the labels are known.

    Args:
        table: the recordings, columns ``COHORT_COLUMNS``.
        answers: the same rows: ``p_*``, NaN where the model refused; ``flags`` and ``error_code``.
        patients: ``(record,)``; recordings of one are drawn together.
        thresholds: one per class, those that are served.
        reference: what the model reached on its own test data.
        own_test: whether these are the same recordings.
        bootstrap: replicates behind the intervals.
        seed: of the bootstrap.
        without: features that the model was not told.

    Raises:
        LeadwiseError: the model answered no recording of which a label is known.
    """
    answered = answers["error_code"].isna().to_numpy()
    refused = Counter(answers["error_code"].dropna().tolist())
    y = table[list(SUPERCLASSES)].to_numpy(np.float64, na_value=np.nan)[answered]
    p = answers[[f"p_{name}" for name in SUPERCLASSES]].to_numpy(np.float64)[answered]
    if not len(y) or np.isnan(y).all():
        codes = ", ".join(f"{count} {code}" for code, count in refused.items()) or "none was refused"
        raise LeadwiseError(
            f"received {len(table)} recordings, {len(y)} of them answered ({codes}), none with a known label; at least "
            "one label has to be known"
        )
    flags = answers["flags"].fillna("")[answered]
    flagged = (flags != "").to_numpy()
    weights = patient_weights(patients[answered], bootstrap, seed)
    metrics = cohort_estimates(y, p, weights, thresholds=thresholds)
    unflagged: dict[str, Estimate] = {}
    if flagged.any() and not flagged.all() and not np.isnan(y[~flagged]).all():
        unflagged = cohort_estimates(y[~flagged], p[~flagged], weights[:, ~flagged], thresholds=thresholds)
    known = known_labels(y)
    counted = [name for name, one in known.items() if one.is_enough]
    # A mean over other classes is no comparison.
    same = all(known[name].is_enough == one.is_enough for name, one in known_labels(y[~flagged]).items())
    compared = [*(LOGGED if same else ()), *(f"auroc/{name}" for name in SUPERCLASSES)]
    groups = cohort_subgroups(table[answered])
    return CohortEvaluation(
        known=known,
        metrics=metrics,
        unflagged=unflagged,
        without_flagged={
            name: unflagged[name] - metrics[name] for name in compared if name in unflagged and name in metrics
        },
        flags=dict(Counter(flag for text in flags for flag in text.split("; ") if flag).most_common()),
        refused=dict(refused.most_common()),
        subgroups=evaluate_subgroups(groups, y, p, patients[answered], weights),
        by_part=decisions_by_part(table[answered], y, p, weights, thresholds=thresholds),
        reference=reference,
        verdict=judge(metrics.get("macro_auroc"), counted, reference, own_test=own_test, without=without),
        without=without,
        records=len(y),
        patients=len(np.unique(patients[answered])),
        bootstrap=bootstrap,
        seed=seed,
    )


def judge(
    found: Estimate | None,
    counted: Sequence[str],
    reference: Reference,
    *,
    own_test: bool,
    without: Sequence[str] = (),
) -> Verdict:
    """Compare a macro AUROC with that of the model's own test data.

    Args:
        found: the macro AUROC over the classes that count; ``None`` where none does.
        counted: these classes.
        reference: of the model's own test data.
        own_test: whether the recordings are the same.
        without: features that the model was not told.
    """
    nothing, (low, high) = Estimate(math.nan), EXPECTED_DROP
    if found is None or not math.isfinite(found.value):
        few = f"No class has {FEWEST_KNOWN} recordings with it and {FEWEST_KNOWN} without: too few."
        return Verdict("cannot_tell", few, nothing)
    before = reference.mean("macro_auroc", counted)
    if before is None:
        only = f"The mean is over {', '.join(counted)} only; the package does not say what the model reached for them."
        return Verdict("cannot_tell", only, nothing)
    drop = Estimate(before, np.full(len(found.replicates), before)) - found
    fell = f"The macro AUROC over {', '.join(counted)} is {found.value:.3f}; on the model's own test data {before:.3f}."
    if own_test and without:
        told = f"These are the same recordings, but the model was not told {', '.join(without)}."
        return Verdict("told_less", f"{fell} {told}", drop)
    if own_test:
        same = abs(drop.value) <= SAME
        told = f"These are the same recordings: {'as before' if same else 'look for a bug'}."
        return Verdict("as_before" if same else "look_for_a_bug", f"{fell} {told}", drop)
    lost = f"Published networks lose {low:g} to {high:g} on the way:"
    verdicts: dict[VerdictName, tuple[float, float, str]] = {
        "look_for_a_bug": (
            before - SUSPECT,
            1,
            f"Below {SUSPECT:g}, look for a bug first: units, gains, lead order, labels.",
        ),
        "better": (-1, low, f"{lost} this is better."),
        "as_expected": (low, high, f"{lost} as expected."),
        "worse": (
            high,
            before - SUSPECT,
            f"{lost} this is worse. Look at what the labels mean here, who the patients are, and at units and filters.",
        ),
    }
    name = next(name for name, (least, most, _) in verdicts.items() if least < drop.value <= most)
    least, most, told = verdicts[name]
    interval = drop.interval
    if not (interval.low >= least and interval.high <= most):
        told += f" So few recordings cannot settle it: the drop may be {interval.low:.3f} to {interval.high:.3f}."
    return Verdict(name, f"{fell} {told}", drop)


def worst_disagreements(
    labels: NDArray[np.float64], probabilities: NDArray[np.float64], *, most: int, most_of_class: int = 2
) -> list[Disagreement]:
    """Where the model was surest and the label says otherwise, a recording once, the worst first.

    Args:
        labels: ``(record, class)``: 1 present, 0 absent, NaN unknown.
        probabilities: same shape; NaN where the model refused.
        most: how many.
        most_of_class: how many of one class and kind, missed or wrongly reported.
    """
    known = np.isfinite(labels) & np.isfinite(probabilities)
    loss = np.full(labels.shape, -np.inf)
    loss[known] = log_loss(labels[known][:, np.newaxis], probabilities[known][:, np.newaxis])[:, 0]
    found: list[Disagreement] = []
    taken: Counter[tuple[int, bool]] = Counter()
    for flat in np.argsort(-loss, axis=None, kind="stable"):
        place, k = divmod(int(flat), labels.shape[1])
        present = bool(labels[place, k] == 1)
        # A loss below that of one half is no disagreement.
        if len(found) == most or not loss[place, k] > math.log(2):
            break
        if taken[k, present] < most_of_class and all(one.place != place for one in found):
            taken[k, present] += 1
            found.append(Disagreement(place, SUPERCLASSES[k], present, float(probabilities[place, k])))
    return found
