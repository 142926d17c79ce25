"""A registered model on another hospital's recordings: scored as it is served, measured, reported and remembered."""

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from leadwise.atomic import folder_written_atomically
from leadwise.config import Validate
from leadwise.contract import SUPERCLASSES, LeadwiseError
from leadwise.datasets.base import Dataset, chosen_cohort
from leadwise.datasets.checks.cohort import COHORT_FILE
from leadwise.datasets.cohort import Cohort, Row
from leadwise.evaluation.cohort_evaluation import (
    CohortEvaluation,
    Reference,
    evaluate_cohort,
    worst_disagreements,
)
from leadwise.evaluation.files import METRICS_FILE, REPORT_FILE, write_json
from leadwise.features import asked_names
from leadwise.registry.cohort_scoring import AUTO, TEST_SPLIT, ScoredCohort, request_of, score_cohort
from leadwise.registry.load import LoadedPackage
from leadwise.serving.answer import explanation_told
from leadwise.serving.request_parsing import RequestParams
from leadwise.serving.scorer import RegisteredVersion, Scorer

if TYPE_CHECKING:
    from leadwise.reports.cohort_page import ShownDisagreement

ANSWERS_FILE = "answers.parquet"
CHECKS_FOLDER = "checks"
DRAWN = 6
"""Disagreements that are drawn."""
Stage = Literal["scored", "drawn"]
StageProgress = Callable[[Stage, int, int], object]
"""Told how many recordings were scored or drawn, and of how many."""


@dataclass(frozen=True)
class ValidateOptions:
    """What is validated, and how.

    Attributes:
        source: the folder or file of the recordings.
        dataset: its name; empty: what the source holds.
        model: as ``registry.load.found_package`` takes it; empty: the champion, or what is bundled.
        labels: which codes of the label map count: ``strict`` or ``wide``.
        options: of the dataset, as ``datasets.base.parse_options`` takes them.
        split: as ``score_cohort`` takes it.
        policy: which thresholds decide; empty: those that the package prefers.
        without: features that the model is not told, several with commas; ``all``.
        max_unreadable_share: share of unreadable recordings above which it stops.
        bootstrap: replicates behind the intervals.
        seed: of the bootstrap.
        drawn: disagreements that are drawn.
    """

    source: Path
    dataset: str = ""
    model: str = ""
    labels: str = "strict"
    options: str = ""
    split: str = AUTO
    policy: str = ""
    without: str = ""
    max_unreadable_share: float = 0.01
    bootstrap: int = 1000
    seed: int = 20
    drawn: int = DRAWN

    @classmethod
    def of(cls, section: Validate) -> "ValidateOptions":
        """The parameters of the validate stage."""
        given = section.model_dump(include=set(cls.__dataclass_fields__) & set(Validate.model_fields))
        return cls(**given | {"labels": section.label_map})

    @property
    def command(self) -> str:
        """Makes the report again."""
        defaults = ValidateOptions(self.source)
        words = ["leadwise", "validate", str(self.source)]
        for name in ("dataset", "model", "labels", "options", "split", "policy", "without", "bootstrap", "seed"):
            if (value := getattr(self, name)) != getattr(defaults, name):
                words += [f"--{'label-map' if name == 'labels' else name}", str(value)]
        return shlex.join(words)

    def folder_in(self, output: Path) -> Path:
        """Where the report goes: a folder for each dataset and what was chosen about it."""
        cohort = self.cohort()
        return output / f"{cohort.name}-{variant(cohort, parse_without(self.without))}"

    def cohort(self) -> Cohort:
        """The dataset, with its options chosen.

        Raises:
            LeadwiseError: there is no such dataset or option.
        """
        return chosen_cohort(self.source, self.dataset, self.labels, self.options)


def parse_without(text: str) -> tuple[str, ...]:
    """``sex,pacemaker``, or ``all``, as names of features in the order of their registry.

    Raises:
        LeadwiseError: there is no such feature, or nobody is asked for it.
    """
    given = {part.strip() for part in text.split(",")} - {""}
    if unknown := sorted(given - {"all", *asked_names()}):
        raise LeadwiseError(f"without: received {unknown[0][:40]!r}; allowed: {', '.join(asked_names())}, or all")
    return tuple(name for name in asked_names() if name in given or "all" in given)


def variant(cohort: Cohort, without: Sequence[str] = ()) -> str:
    """What was chosen about a dataset, short: the label map, whatever is not its default, what the model lacks."""
    defaults = type(cohort.options)().model_dump(mode="json")
    chosen = cohort.options.model_dump(mode="json")
    others = [f"{name}-{value}" for name, value in chosen.items() if name != "labels" and value != defaults[name]]
    others += [f"without-{name}" for name in (("all",) if tuple(without) == asked_names() else without)]
    return ".".join([chosen["labels"], *(re.sub(r"[^\w-]+", "-", other)[:40] for other in others)])


@dataclass(frozen=True)
class Validated:
    """What came of it.

    Attributes:
        folder: with ``report.html``, ``metrics.json``, ``answers.parquet`` and ``checks/``.
        scored: the recordings and the answers.
        evaluation: the figures.
        model: how the model was asked for.
        registered: the version in the registry; ``None`` where it is none.
        description: content of its ``model.json``.
    """

    folder: Path
    scored: ScoredCohort
    evaluation: CohortEvaluation
    model: str
    registered: RegisteredVersion | None
    description: Mapping[str, Any]

    @property
    def model_name(self) -> str:
        """For people."""
        if self.registered:
            return f"{self.registered.name} version {self.registered.version}"
        return self.model

    @property
    def report(self) -> Path:
        """The page."""
        return self.folder / REPORT_FILE

    def text(self) -> str:
        """The figures as a table for a terminal."""
        found, left_out = self.evaluation, len(self.scored.checked.left_out)
        lacks = f", not told {', '.join(found.without)}" if found.without else ""
        lines = [
            f"{self.scored.cohort.title}: {found.records:,} recordings of {found.patients:,} patients answered by "
            f"{self.model_name}{lacks}; refused {sum(found.refused.values())}, left out {left_out}",
            f"{'class':<6}{'present/absent/unknown':>24}  {'AUROC':<22}{'sensitivity':<22}{'specificity':<22}",
        ]
        for name in SUPERCLASSES:
            figures = (f"auroc/{name}", f"chosen/sensitivity/{name}", f"chosen/specificity/{name}")
            few = "" if found.known[name].is_enough else "  few"
            lines.append(f"{name:<6}{found.known[name]!s:>24}  {''.join(self._told(one) for one in figures)}{few}")
        means = ("macro_auroc", "chosen/macro_sensitivity", "chosen/macro_specificity")
        lines.append(f"{'mean':<6}{', '.join(found.counted):>24}  {''.join(self._told(one) for one in means)}")
        return "\n".join([*(line.rstrip() for line in lines), found.verdict.says])

    def _told(self, name: str) -> str:
        estimate = self.evaluation.metrics.get(name)
        if estimate is None or not np.isfinite(estimate.value):
            return f"{'n/a':<22}"
        low, high = estimate.interval.low, estimate.interval.high
        return f"{estimate.value:.3f} [{low:.3f}, {high:.3f}]".ljust(22)


def validate_model(
    options: ValidateOptions,
    folder: Path,
    *,
    command: str,
    package: LoadedPackage | None = None,
    suites: bool = True,
    progress: StageProgress | None = None,
) -> Validated:
    """Score a dataset with a served package, measure it, and write the report.

    Args:
        options: what is validated, and how.
        folder: for the report; replaced if it is there, and whole or as it was.
        command: makes it again.
        package: that is validated; ``None``: the one that the options name.
        suites: whether the suites of checks are run, as ``check_cohort`` takes it.
        progress: instead of a bar on the terminal.

    Raises:
        LeadwiseError: there is no such model, dataset, option or policy; the recordings do not pass the checks; or
            nothing can be measured.
    """
    cohort, without = options.cohort(), parse_without(options.without)
    loaded = package or LoadedPackage.found(options.model or None)
    with folder_written_atomically(folder) as beside:
        scored = score_cohort(
            cohort,
            options.source,
            loaded.scorer,
            beside / CHECKS_FOLDER,
            policy=options.policy or None,
            split=options.split,
            max_unreadable_share=options.max_unreadable_share,
            without=without,
            suites=suites,
            progress=partial(progress, "scored") if progress else None,
        )
        reference = Reference.of_package(loaded.description, scored.policy_name)
        evaluation = evaluate_cohort(
            scored.checked.table,
            scored.answers,
            scored.patients,
            thresholds=scored.policy.limits(),
            reference=reference,
            own_test=isinstance(cohort, Dataset)
            and cohort.name == reference.dataset
            and scored.split == TEST_SPLIT
            and scored.checked.left_out.empty
            and cohort.about_patients,
            without=without,
            bootstrap=options.bootstrap,
            seed=options.seed,
        )
        validated = Validated(folder, scored, evaluation, loaded.name, loaded.registered, loaded.description)
        dataset = json.loads((beside / CHECKS_FOLDER / COHORT_FILE).read_text(encoding="utf-8"))
        scored.write(beside / ANSWERS_FILE)
        write_json(beside / METRICS_FILE, _content(validated, dataset))
        shown = _drawn(scored, loaded.scorer, options.drawn, progress)
        _write_page(validated, dataset, shown, command, beside / REPORT_FILE)
    return validated


def _content(validated: Validated, dataset: Mapping[str, Any]) -> dict[str, Any]:
    """What ``metrics.json`` holds."""
    scored, registered = validated.scored, validated.registered
    return {
        "dataset": {name: dataset[name] for name in ("dataset", "title", "options", "source", "citation", "licence")},
        "split": scored.split or "all",
        "digest": scored.digest,
        "model": {
            "asked": validated.model,
            "registered": f"{registered.name}/{registered.version}" if registered else None,
            "leadwise": validated.description["leadwise"],
            "data": validated.description["data"],
        },
        "policy": scored.policy_name,
        "thresholds": dict(scored.policy.thresholds),
        **validated.evaluation.to_dict(),
        "left_out": _reasons(scored),
        "assumptions": dataset["assumptions"],
        "warnings": dataset["warnings"],
    }


def _reasons(scored: ScoredCohort) -> dict[str, int]:
    return {str(reason): int(count) for reason, count in scored.checked.left_out["reason"].value_counts().items()}


def _drawn(
    scored: ScoredCohort, scorer: Scorer, most: int, progress: StageProgress | None
) -> "list[ShownDisagreement]":
    """The worst disagreements as pictures; their recordings are read again."""
    from leadwise.reports.cohort_page import ShownDisagreement
    from leadwise.reports.ecg_figure import draw_ecg, percent
    from leadwise.reports.explanation_figure import draw_explanation
    from leadwise.reports.report_page import drawn

    shown = []
    thresholds = dict(scored.policy.thresholds)
    worst = worst_disagreements(scored.labels, scored.probabilities, most=most)
    for done, one in enumerate(worst):
        if progress is not None:
            progress("drawn", done, len(worst))
        row = scored.checked.table.iloc[one.place]
        recording = scored.cohort.read(row)
        asked = RequestParams(policy=scored.policy_name, explain=(one.superclass,))
        (answer,) = scorer.answers_to([request_of(recording, scored.without)], asked)
        explanation = explanation_told(answer, one.superclass)
        beside: dict[str, Any] = {"probabilities": answer["probabilities"], "thresholds": thresholds}
        if explanation is None:
            figure = draw_ecg(recording.record, **beside)
        else:
            figure = draw_explanation(recording.record, explanation, probability=one.probability, **beside)
        says = f"{row['record_id']}: {one.superclass} {percent(one.probability)}"
        codes = row["codes"]
        written = scored.cohort.written(codes) if isinstance(codes, str) else []
        flags = str(scored.answers["flags"].iloc[one.place]).replace("_", " ")
        patient = _patient(row)
        shown.append(ShownDisagreement(one, str(row["record_id"]), patient, written, flags, drawn(figure, says)))
    return shown


def _patient(row: Row) -> str:
    age, sex = row["age"], row["sex"]
    known = [
        *([] if np.isnan(sex) else ["female" if sex == 1 else "male"]),
        *([] if np.isnan(age) else [f"{age:.0f} years"]),
    ]
    return ", ".join(known) or "age and sex unknown"


def _write_page(
    validated: Validated,
    dataset: Mapping[str, Any],
    shown: "Sequence[ShownDisagreement]",
    command: str,
    file: Path,
) -> None:
    from leadwise.reports.cohort_page import About, CohortReport

    scored = validated.scored
    about = About(
        dataset=dataset,
        left_out=_reasons(scored),
        model=validated.model_name,
        policy=scored.policy_name,
        thresholds=scored.policy.thresholds,
        digest=scored.digest,
        command=command,
    )
    CohortReport(validated.evaluation, about, shown).page().write(file)
