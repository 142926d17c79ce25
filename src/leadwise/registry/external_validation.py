"""A registered model on another hospital's recordings: scored as it is served, measured, reported and remembered."""

import json
import re
import shlex
from collections.abc import Callable, Sequence
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
from leadwise.datasets.cohort import Cohort
from leadwise.evaluation import METRICS_FILE, REPORT_FILE, write_json
from leadwise.evaluation.bootstrap import Estimate, finite
from leadwise.evaluation.cohort_evaluation import CohortEvaluation, Reference, evaluate_cohort, worst_disagreements
from leadwise.features import asked_names
from leadwise.registry.cohort_scoring import TEST_SPLIT, ScoredCohort, request_of, score_cohort
from leadwise.registry.load import LoadedPackage
from leadwise.serving.answer import explanation_told
from leadwise.serving.request_parsing import RequestParams
from leadwise.serving.scorer import Scorer

if TYPE_CHECKING:
    from leadwise.reports.cohort_page import CohortReport
    from leadwise.reports.report_page import Part

ANSWERS_FILE = "answers.parquet"
CHECKS_FOLDER = "checks"
METRIC_PREFIX = "validate/"
Stage = Literal["scored", "drawn"]
StageProgress = Callable[[Stage, int, int], object]
"""Told how many recordings were scored or drawn, and of how many."""


def cohort_of(asked: Validate) -> Cohort:
    """The dataset that is validated on, with its options chosen.

    Raises:
        LeadwiseError: there is no such dataset or option.
    """
    return chosen_cohort(asked.source, asked.dataset, asked.label_map, asked.options)


def command_of(asked: Validate) -> str:
    """Makes the report again."""
    words = ["leadwise", "validate", str(asked.source)]
    for name in ("dataset", "model", "label_map", "options", "split", "policy", "without", "bootstrap", "seed"):
        default = "" if name == "model" else Validate.model_fields[name].default
        if (value := getattr(asked, name)) != default:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)


def report_folder(asked: Validate) -> Path:
    """Where the report goes: a folder for each dataset and what was chosen about it."""
    cohort = cohort_of(asked)
    return asked.output / f"{cohort.name}-{variant(cohort, parse_without(asked.without))}"


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
        package: that was validated.
    """

    folder: Path
    scored: ScoredCohort
    evaluation: CohortEvaluation
    package: LoadedPackage

    @property
    def model_name(self) -> str:
        """For people."""
        if registered := self.package.registered:
            return f"{registered.name} version {registered.version}"
        return self.package.name

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
    asked: Validate,
    folder: Path | None = None,
    *,
    command: str = "",
    package: LoadedPackage | None = None,
    suites: bool = True,
    progress: StageProgress | None = None,
) -> Validated:
    """Score a dataset with a served package, measure it, and write the report.

    Args:
        asked: what is validated, and how; of an empty ``model`` the champion, or what is bundled.
        folder: for the report; replaced if it is there, and whole or as it was; ``None``: ``report_folder``.
        command: makes it again; empty: ``command_of``.
        package: that is validated; ``None``: the one that the parameters name.
        suites: whether the suites of checks are run, as ``check_cohort`` takes it.
        progress: instead of a bar on the terminal.

    Raises:
        LeadwiseError: there is no such model, dataset, option or policy; the recordings do not pass the checks; or
            nothing can be measured.
    """
    from leadwise.reports.cohort_page import CohortReport

    cohort, without = cohort_of(asked), parse_without(asked.without)
    folder = folder or report_folder(asked)
    loaded = package or LoadedPackage.found(asked.model or None)
    with folder_written_atomically(folder) as beside:
        scored = score_cohort(
            cohort,
            asked.source,
            loaded.scorer,
            beside / CHECKS_FOLDER,
            policy=asked.policy or None,
            split=asked.split,
            max_unreadable_share=asked.max_unreadable_share,
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
            bootstrap=asked.bootstrap,
            seed=asked.seed,
        )
        validated = Validated(folder, scored, evaluation, loaded)
        report = CohortReport(
            evaluation,
            dataset=json.loads((beside / CHECKS_FOLDER / COHORT_FILE).read_text(encoding="utf-8")),
            left_out={str(k): int(n) for k, n in scored.checked.left_out["reason"].value_counts().items()},
            model=validated.model_name,
            policy=scored.policy_name,
            digest=scored.digest,
            command=command or command_of(asked),
            disagreements=_disagreements(scored, loaded.scorer, asked.drawn, progress),
        )
        scored.write(beside / ANSWERS_FILE)
        write_json(beside / METRICS_FILE, _content(validated, report))
        report.page().write(beside / REPORT_FILE)
    return validated


def _content(validated: Validated, report: "CohortReport") -> dict[str, Any]:
    """What ``metrics.json`` holds."""
    package, dataset = validated.package, report.dataset
    registered, description = package.registered, package.description
    return {
        "dataset": {name: dataset[name] for name in ("dataset", "title", "options", "source", "citation", "licence")},
        "split": validated.scored.split or "all",
        "digest": report.digest,
        "model": {
            "asked": package.name,
            "registered": f"{registered.name}/{registered.version}" if registered else None,
            "leadwise": description["leadwise"],
            "data": description["data"],
        },
        "policy": report.policy,
        "thresholds": dict(validated.scored.policy.thresholds),
        **validated.evaluation.to_dict(),
        "left_out": report.left_out,
        "assumptions": dataset["assumptions"],
        "warnings": dataset["warnings"],
    }


def _disagreements(scored: ScoredCohort, scorer: Scorer, most: int, progress: StageProgress | None) -> "list[Part]":
    """The worst disagreements, drawn; their recordings are read again."""
    from leadwise.reports.answer_figure import explained_title
    from leadwise.reports.cohort_page import disagreement
    from leadwise.reports.ecg_figure import draw_ecg

    shown: list[Part] = []
    worst = worst_disagreements(scored.labels, scored.probabilities, most=most)
    for done, one in enumerate(worst):
        if progress is not None:
            progress("drawn", done, len(worst))
        row = scored.checked.table.iloc[one.place]
        recording = scored.cohort.read(row)
        asked = RequestParams(policy=scored.policy_name, explain=(one.superclass,))
        (answer,) = scorer.answers_to([request_of(recording, scored.without)], asked)
        explanation = explanation_told(answer, one.superclass)
        figure = draw_ecg(
            recording.record,
            title=explained_title(recording.record.record_id, explanation),
            probabilities=answer["probabilities"],
            thresholds=scored.policy.thresholds,
            explanation=explanation,
        )
        written = scored.cohort.written(row["codes"]) if isinstance(row["codes"], str) else []
        flags = str(scored.answers["flags"].iloc[one.place]).replace("_", " ")
        shown += disagreement(one, row.to_dict(), written, flags, figure)
    return shown


def log_validation(validated: Validated) -> None:
    """Log figures, files and the recordings' digest to the active run."""
    import mlflow

    from leadwise.stage import log_store

    scored, evaluation = validated.scored, validated.evaluation
    log_store(
        {
            "source": str(scored.source),
            "dataset": scored.cohort.name,
            "digest": scored.digest,
            "release": "unknown",
            "simulated": not scored.cohort.about_patients,
        },
        "evaluation",
    )
    mlflow.set_tags(
        {
            "model": validated.model_name,
            "validated.dataset": scored.cohort.name,
            "validated.variant": variant(scored.cohort, scored.without),
            "validated.policy": scored.policy_name,
            "validated.verdict": evaluation.verdict.name,
        }
    )
    mlflow.log_metrics(evaluation.logged_metrics(f"{METRIC_PREFIX}{scored.cohort.name}/"))
    mlflow.log_artifacts(str(validated.folder))


def remember(validated: Validated) -> None:
    """Tag the registered version with the few figures that it keeps, and describe it; nothing for other models."""
    import mlflow

    from leadwise.registry.register import ELSEWHERE, with_elsewhere

    registered, scored, found = validated.package.registered, validated.scored, validated.evaluation
    if registered is None:
        return
    run, client = mlflow.active_run(), mlflow.MlflowClient()
    reached = {
        "records": found.records,
        "digest": scored.digest[:12],
        "classes": found.counted,
        "macro_auroc": _told(found.metrics.get("macro_auroc")),
        "ece": _told(found.metrics.get("ece")),
        "verdict": found.verdict.name,
        "run_id": run.info.run_id if run else None,
    }
    key = f"{ELSEWHERE}{scored.cohort.name}.{variant(scored.cohort, scored.without)}"
    client.set_model_version_tag(registered.name, registered.version, key, json.dumps(reached))
    version = client.get_model_version(registered.name, registered.version)
    described = with_elsewhere(version.description or "", version.tags)
    client.update_model_version(registered.name, registered.version, description=described)


def _told(found: Estimate | None) -> list[float | None] | None:
    return None if found is None else [finite(found.value), *found.interval.bounds()]
