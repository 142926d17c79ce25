"""The report on a model and another hospital's recordings: the drop first, then every class and disagreement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from leadwise.contract import SUPERCLASS_NAMES, SUPERCLASSES
from leadwise.evaluation.cohort_evaluation import EXPECTED_DROP, LOGGED, SUSPECT, CohortEvaluation, Disagreement
from leadwise.evaluation.cohort_metrics import FEWEST_KNOWN, INTERCEPT, LOG_LOSS, SLOPE, TITLES
from leadwise.evaluation.decisions import TARGET_POLICY, TARGETS, Measure, Target
from leadwise.evaluation.metrics import CHOSEN, metric_names
from leadwise.evaluation.subgroups import FEWEST_CASES, MEASURES, PartDecisions
from leadwise.reports.answer_figure import percent
from leadwise.reports.breakdown_figures import subgroup_figure
from leadwise.reports.report_page import (
    Cell,
    Lines,
    Page,
    Part,
    Row,
    Section,
    Table,
    change,
    drawn,
    estimate,
    measured,
    number,
    subgroup_parts,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = ("auroc", "auprc", f"{CHOSEN}sensitivity", f"{CHOSEN}specificity")
VERDICTS: Mapping[str, str] = {
    "as_before": "as before",
    "better": "better than published",
    "as_expected": "as expected",
    "worse": "worse than expected",
    "look_for_a_bug": "look for a bug",
    "told_less": "told less",
    "cannot_tell": "too few to tell",
}
LIMITS = (
    "Labels mean what the people who wrote them meant: another hospital's codes are not PTB-XL's statements. What the "
    "strict label map leaves open counts as unknown; the wide one counts it as present.",
    "Intervals say how far the figures would vary with other patients of this hospital. They say nothing of a third "
    "one. One without width stands where no decision was wrong: of n such, 3 / n may still be (the rule of three).",
    "AUPRC, calibration and predictive values belong to as many ill as here.",
)


@dataclass(frozen=True)
class CohortReport:
    """Puts a page together.

    Attributes:
        found: the figures.
        dataset: content of ``cohort.json``: what was chosen, assumed, counted and warned of.
        left_out: reason -> recordings.
        model: how the model is called.
        policy: the name of the thresholds in use.
        digest: of what was scored.
        command: makes the report again.
        disagreements: what ``disagreement`` makes of the worst ones.
    """

    found: CohortEvaluation
    dataset: Mapping[str, Any]
    left_out: Mapping[str, int]
    model: str
    policy: str
    digest: str
    command: str
    disagreements: Sequence[Part]

    def page(self) -> Page:
        """The whole report."""
        found, dataset = self.found, self.dataset
        verdict = found.verdict
        lacks = f", not told {', '.join(found.without)}," if found.without else ""
        fell = Cell("n/a") if verdict.name == "cannot_tell" else change(verdict.drop, sign=-1, note="from fold 10")
        return Page(
            title=f"Elsewhere: {dataset['title']}",
            subtitle=(
                f"{self.model}{lacks} on {found.records:,} recordings of {found.patients:,} patients, labels "
                f"{dataset['options'].get('labels', 'as they are')}; thresholds {self.policy}. Classes: "
                f"{', '.join(f'{SUPERCLASS_NAMES[name]} ({name})' for name in SUPERCLASSES)}."
            ),
            simulated=not dataset["about_patients"] or found.reference.simulated,
            tiles={
                "macro AUROC": self.metric("macro_auroc", note=", ".join(found.counted)),
                "change": fell,
                "verdict": Cell(VERDICTS[verdict.name]),
                "calibration error": self.metric("ece", note="0 is perfect"),
                "refused": f"{sum(found.refused.values()):,}",
                "flags of quality": f"{sum(found.flags.values()):,}",
            },
            sections=[
                Section("verdict", "What to make of it", self.verdict()),
                Section("classes", "The five classes", self.classes()),
                Section("calibration", "Calibration", self.calibration()),
                Section("quality", "Refused and flagged", self.quality()),
                Section("subgroups", "Subgroups", [*self.subgroups(), *self.by_part()]),
                Section("disagreements", "Where model and label disagree most", self.worst()),
                Section("data", "The recordings and their labels", self.data()),
                Section("limits", "What it cannot say", [Lines(LIMITS)]),
            ],
            footer=[
                f"Recordings and labels {self.digest[:12]}; bootstrap of {found.bootstrap:,} replicates, seed "
                f"{found.seed}. All figures stand in metrics.json, every answer in answers.parquet beside this page.",
                f"Again: {self.command}",
                f"Cite: {dataset['citation']}. Licence: {dataset['licence']}.",
            ],
        )

    def metric(self, name: str, digits: int = 3, note: str = "") -> Cell:
        return measured(self.found.metrics.get(name), digits, note)

    def verdict(self) -> list[Part]:
        """The verdict in words, and the means beside those of the model's own test data."""
        low, high = EXPECTED_DROP
        before = {name: self.found.reference.mean(name, self.found.counted) for name in LOGGED}
        titles = metric_names()
        rows: list[Row] = [[titles[name].title, self.metric(name), number(before[name])] for name in LOGGED]
        return [
            self.found.verdict.says,
            "Networks trained on PTB-XL, as published: 0.937 on fold 10, 0.892 on Chapman-Shaoxing and 0.887 on "
            f"Ningbo (13 labels); 0.931 on SPH (the superclasses). A drop of {low:g} to {high:g} is expected; below "
            f"{SUSPECT:g} units, gains, lead order or labels are suspected first.",
            Table((f"mean over {', '.join(self.found.counted) or 'no class'}", "here", "own test data"), rows),
        ]

    def classes(self) -> list[Part]:
        """Every class on the recordings whose label for it is known."""
        rows: list[Row] = []
        for name in SUPERCLASSES:
            known = self.found.known[name]
            label = Cell(name, note="" if known.is_enough else "few")
            rows.append([label, str(known), *(self.metric(f"{metric}/{name}") for metric in SHOWN)])
            rows.append(["own test data", "", *(self.reference(metric, name) for metric in SHOWN)])
        head = ("class", "present / absent / unknown", *(TITLES[metric] for metric in SHOWN))
        return [
            "A class is measured on the recordings whose label for it is known: unknown counts neither as present "
            f"nor as absent. With fewer than {FEWEST_KNOWN} of either kind it counts in no mean. Decisions are those "
            f"of the served thresholds ({self.policy}).",
            Table(head, rows),
        ]

    def reference(self, metric: str, name: str) -> Cell:
        """A class on the model's own test data, where the package says it."""
        value = self.found.reference.metrics.get(f"{metric}/{name}")
        rate = self.found.reference.rates.get(metric.removeprefix(CHOSEN), {}).get(name)
        return estimate(rate[0], rate[1:]) if rate else Cell(number(value))

    def calibration(self) -> list[Part]:
        """How far probabilities are off."""
        metrics = (INTERCEPT, SLOPE, "ece", "brier", LOG_LOSS)
        rows: list[Row] = [[name, *(self.metric(f"{metric}/{name}", 2) for metric in metrics)] for name in SUPERCLASSES]
        says = (
            "Intercept: what has to be added to all logits so that as many are expected as there are; above 0 the "
            "model says too little. Slope: below 1 it is too certain. 0 and 1 are perfect."
        )
        return [says, Table(("class", *(TITLES[metric] for metric in metrics)), rows)]

    def quality(self) -> list[Part]:
        """What was refused and flagged, and what the figures are without it."""
        found = self.found
        rows: list[Row] = [[f"refused: {code}", f"{count:,}"] for code, count in found.refused.items()]
        rows += [[f"flagged: {flag.replace('_', ' ')}", f"{count:,}"] for flag, count in found.flags.items()]
        rows += [[f"left out: {reason}", f"{count:,}"] for reason, count in self.left_out.items()]
        parts: list[Part] = [Table(("what", "recordings"), rows, style="wrapped") if rows else "Nothing."]
        if found.without_flagged:
            titles = metric_names()
            changes: list[Row] = [
                [titles[name].title, self.metric(name), measured(found.unflagged[name]), change(gained)]
                for name, gained in found.without_flagged.items()
            ]
            head = ("metric", "all answered", "without the flagged", "change, paired")
            parts.append(Table(head, changes, title="Without the flagged recordings"))
        return parts

    def subgroups(self) -> list[Part]:
        """Who it works less well for, where there are enough."""
        groups, whole, pictures = self.found.subgroups, self.found.metrics.get("macro_auroc"), []
        if whole and any("macro_auroc" in group.found for group in groups):
            figure = subgroup_figure(groups, whole)
            pictures.append(drawn(figure, "Macro AUROC by subgroup; at the right: recordings"))
        return subgroup_parts(groups, pictures, "recordings")

    def by_part(self) -> list[Part]:
        """How often the decisions are right by age and sex, and where a promise is not kept."""
        targets = TARGETS if self.policy == TARGET_POLICY else {}
        rows: list[Row] = []
        for part in self.found.by_part:
            rows.append(f"{part.name}: {part.records:,} recordings")
            for measure in MEASURES:
                cells = [self.share(part, measure, name, targets.get(name)) for name in SUPERCLASSES]
                rows.append([measure, *cells])
        says = (
            f"Thresholds {self.policy}; of at least {FEWEST_CASES} recordings. One threshold for all ages finds "
            "fewer of the young, in whom a class is rarer."
        )
        if targets:
            says += " Below: the interval's upper end does not reach the target, which is promised for all together."
        return [Table(("by age and sex", *SUPERCLASSES), rows, says, title="Sensitivity and specificity")]

    def share(self, part: PartDecisions, measure: Measure, name: str, target: Target | None) -> Cell:
        """A measure of a class in a part; what lies below its target says so."""
        found = part.shares.get(f"{measure}/{name}")
        if found is None:
            return Cell("few")
        missed = target is not None and target.measure == measure and found.interval.high < target.value
        return measured(found, note=f"below {target.value:.0%}" if target and missed else "")

    def worst(self) -> list[Part]:
        """The worst disagreements as a cardiologist would look at them."""
        if not self.disagreements:
            return ["None: the model is on the side of every known label."]
        says = (
            "The recordings in which the model was surest and the label says otherwise, at most two of a class and "
            "kind. Either may be wrong. Orange spoke for the class, blue against it."
        )
        return [says, *self.disagreements]

    def data(self) -> list[Part]:
        """What was chosen, taken for granted and warned of."""
        dataset = self.dataset
        counts = dataset["counts"]
        rows: list[Row] = [
            [group, *(" / ".join(f"{by[state]:,}" for state in ("present", "absent", "unknown")) for by in of.values())]
            for group, of in counts.items()
        ]
        chosen = ", ".join(f"{name} {value}" for name, value in dataset["options"].items() if value is not None)
        lines = [*dataset["assumptions"], *dataset["traps"], *(f"Warning: {line}" for line in dataset["warnings"])]
        return [
            f"Chosen: {chosen or 'nothing'}.",
            Table(("source", *SUPERCLASSES), rows, "present / absent / unknown, all recordings that were read"),
            *([Lines(lines)] if lines else []),
        ]


def disagreement(
    one: Disagreement, row: Mapping[Any, Any], written: Sequence[str], flags: str, figure: "Figure"
) -> list[Part]:
    """A recording in which model and label are far apart.

    Args:
        one: which, and in what.
        row: of the cohort's table.
        written: what was written of it, a line per code.
        flags: of its quality.
        figure: the ECG, with what spoke for the class behind it.
    """
    age, sex, name = row["age"], row["sex"], row["record_id"]
    known = [*([] if np.isnan(sex) else ["female" if sex == 1 else "male"])]
    known += [] if np.isnan(age) else [f"{age:.0f} years"]
    says, sure, flagged = "present" if one.present else "absent", percent(one.probability), f", flagged: {flags}"
    told = (
        f"{name} ({', '.join(known) or 'age and sex unknown'}): {one.superclass} {says} by the label, {sure} by the "
        f"model{flagged if flags else ''}. Written of it: {'; '.join(written) or 'nothing'}."
    )
    return [told, [drawn(figure, f"{name}: {one.superclass} {sure}")]]
