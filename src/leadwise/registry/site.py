"""A registered version for one site: the same networks, with the calibration and the thresholds that fit its patients.

One half of the site's patients is fitted on, the other one judges. Only a version that is better there gets the alias
``site-NAME``; the champion stays what it is.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import mlflow
import numpy as np
from numpy.typing import NDArray

from leadwise.atomic import folder_written_atomically
from leadwise.config import Parameters, Recalibrate
from leadwise.contract import SUPERCLASSES
from leadwise.datasets.base import chosen_cohort
from leadwise.datasets.cohort import CohortError
from leadwise.decision import Calibration, read_policies
from leadwise.evaluation import write_json
from leadwise.evaluation.bootstrap import Estimate, mean_of, percentile_interval
from leadwise.evaluation.cohort_metrics import FEWEST_KNOWN, Compared, Side, compare
from leadwise.evaluation.decisions import TARGET_POLICY, TARGETS
from leadwise.evaluation.metrics import CHOSEN
from leadwise.evaluation.recalibration import Recalibration, prior_shift, recalibrate, site_policies
from leadwise.registry.champion import judged_or_marked, process_tag, tidy_up
from leadwise.registry.cohort_scoring import ScoredCohort, request_of, score_cohort
from leadwise.registry.gate import ROUND_TRIP, GateReport, JudgedVersion, answer_check, serve
from leadwise.registry.gate_checks import Check
from leadwise.registry.load import load_scorer, package_folder
from leadwise.registry.package import trained_on, write_beside_networks
from leadwise.registry.register import (
    Registered,
    leave_registered,
    publish_report,
    register_challenger,
    registered_name,
)
from leadwise.registry.smoke_test import LARGEST_DIFFERENCE
from leadwise.serving.request_parsing import RequestParams
from leadwise.serving.scorer import RegisteredVersion, Scorer, read_description, registered_version

SITES = "sites"
SITE_FILE = "site.json"
OF_CALIBRATION = ("ece", "binary_accuracy", "chosen/macro_f1")
"""Figures of fold 10 that another calibration changes: a version for a site does not have them."""
REPLICATES = 1000
ASKED = 20
"""Recordings that the registered version is asked, to see that it answers what was judged."""
ROUNDED_BY = 1e-6
"""Answers have six digits after the point; half of the last one, and as much again for what float32 leaves."""


def part_by_patient(scored: ScoredCohort, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of the recordings ``(record,)`` those that are fitted on, and those that judge; what was refused is in neither.

    Raises:
        CohortError: fewer than two patients were answered.
    """
    answered = scored.answered
    patients, patient = np.unique(scored.patients[answered], return_inverse=True)
    if len(patients) < 2:
        raise CohortError(f"{scored.source}: {len(patients)} patients were answered; two halves need at least one each")
    first = np.random.default_rng(seed).permutation(len(patients)) < len(patients) / 2
    fitted = np.zeros(len(answered), dtype=bool)
    fitted[answered] = first[patient]
    return fitted, answered & ~fitted


def recalibrate_site(parameters: Parameters, *, tell: Callable[[str], object] = lambda text: None) -> Registered:
    """Score a site's recordings, fit on half of its patients, register the result, and let the other half judge.

    Leaves ``workspace/sites/NAME/``: ``checks/``, ``answers.parquet``, ``package/``, ``site.json``, ``gate.json``,
    ``gate.md`` and ``registered.json``.

    Args:
        parameters: of the recalibrate stage.
        tell: is called with what is done, and with the gate's report.

    Raises:
        GateFailed: the version is registered, was not found better on the patients that it had not seen, and has no
            alias.
        LeadwiseError: there is no such model or dataset, or the recordings cannot be taken.
    """
    asked, seed = parameters.recalibration, parameters.shared.seed
    folder = parameters.shared.workspace / SITES / asked.site
    mlflow.set_tags(process_tag() | {"site": asked.site})
    cohort = chosen_cohort(asked.source, asked.dataset, asked.label_map, asked.options)
    with package_folder(asked.model) as source:
        origin = registered_version(source.parent)
        folder.mkdir(parents=True, exist_ok=True)
        scored = score_cohort(
            cohort,
            asked.source,
            Scorer.load(source, origin),
            folder / "checks",
            split=asked.split,
            max_unreadable_share=asked.max_unreadable_share,
        )
        scored.write(folder / "answers.parquet")
        fitted, judged = part_by_patient(scored, seed)
        description, first = read_description(source), (scored.labels[fitted], scored.probabilities[fitted])
        found = fit_site(*first, description, asked.labels)
        provenance = _provenance(asked, scored, {"fitted": int(fitted.sum()), "judged": int(judged.sum())}, origin)
        made = site_description(description, found, *first, provenance)
        with folder_written_atomically(folder / "package") as target:
            for network in made["networks"].values():
                shutil.copyfile(source / network["file"], target / network["file"])
            package = write_beside_networks(target, made)
        package = replace(package, folder=folder / "package")
    name = registered_name(origin.name if origin else "auto", package.dataset)
    tidy_up(name, tell)
    version, registered = register_challenger(package, name)
    tags = {"dataset": cohort.name, "digest": scored.digest, "labels": asked.labels}
    tags["from"] = origin.version if origin else asked.model
    client = mlflow.MlflowClient()
    for tag, value in {"site": asked.site, **{f"site.{tag}": value for tag, value in tags.items()}}.items():
        client.set_model_version_tag(name, version.version, tag, value)
    answered = scored.probabilities[judged]
    before, after = (
        Side(p, read_policies(of["networks"]["fusion"]["decision"])[0])
        for p, of in ((answered, description), (found.apply(answered), made))
    )
    compared = compare(scored.labels[judged], before, after, scored.patients[judged], replicates=REPLICATES, seed=seed)
    with judged_or_marked(name, version.version):
        report = judge_site(version, origin, asked.site, scored, np.flatnonzero(judged), found, compared)
        write_json(folder / SITE_FILE, made["site"] | compared.to_dict())
        publish_report(report, package, folder)
        mlflow.log_artifact(str(folder / SITE_FILE))
        tell(report.to_text())
    alias = f"site-{asked.site}" if report.passed else ""
    if alias:
        client.set_registered_model_alias(name, alias, version.version)
    return leave_registered(registered, alias, report, folder)


def fit_site(
    labels: NDArray[np.float64], probabilities: NDArray[np.float64], description: Mapping[str, Any], use: str
) -> Recalibration:
    """What is fitted on ``(record, class)`` of the first half: with its labels, or without any.

    Raises:
        CohortError: labels are not to be used, and the package does not say how common the classes were.
    """
    if use == "known":
        return recalibrate(labels, probabilities)
    return prior_shift(probabilities, class_rates(description))


def class_rates(description: Mapping[str, Any]) -> dict[str, float]:
    """Share of each class among the records that a package was calibrated on, or in its whole dataset.

    Raises:
        CohortError: neither is known.
    """
    decision, data = description["networks"]["fusion"]["decision"], description["data"]
    if "records" in decision:
        return {name: decision["positives"][name] / decision["records"] for name in SUPERCLASSES}
    counts = trained_on(data, simulated=bool(description["simulated"])).known_counts(str(data["release"]))
    if not counts:
        raise CohortError(
            "labels: received none; the package does not say how common each class was where it was calibrated, and "
            "nothing is known of its data; register it again, or take labels=known"
        )
    return {name: counts[name] / counts["rows"] for name in SUPERCLASSES}


def site_description(
    description: Mapping[str, Any],
    found: Recalibration,
    labels: NDArray[np.float64],
    probabilities: NDArray[np.float64],
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """``model.json`` for the site: another decision of the network that sees recordings, and where it comes from.

    The network that answers without a recording, and the statements, stay as they are.
    """
    made: dict[str, Any] = json.loads(json.dumps(description))
    network = made["networks"]["fusion"]
    decision = network["decision"]
    policies, used = read_policies(decision)
    new = site_policies(policies, found, labels, probabilities)
    in_use = new[used].to_dict()
    network["decision"] = (
        decision
        | found.after(Calibration.from_dict(decision)).to_dict()
        | {
            "thresholds": in_use["thresholds"],
            "uncertain": in_use["uncertain"],
            "chosen_on": f"half of the patients of site {provenance['name']}",
            "positives": {name: one.positives for name, one in found.changes.items()},
            "records": len(labels),
            "policies": {name: policy.to_dict() for name, policy in new.items()},
        }
    )
    network["test"] = {name: value for name, value in network["test"].items() if name not in OF_CALIBRATION}
    # They are of fold 10 at thresholds that are no longer in use.
    network.pop("policy_rates", None)
    made["site"] = {**provenance, "changes": found.to_dict()}
    return made


def _provenance(
    asked: Recalibrate, scored: ScoredCohort, records: Mapping[str, int], origin: RegisteredVersion | None
) -> dict[str, Any]:
    return {
        "name": asked.site,
        "from": f"{origin.name} version {origin.version}" if origin else asked.model,
        "dataset": scored.cohort.name,
        "title": scored.cohort.title,
        "citation": scored.cohort.citation,
        "digest": scored.digest,
        "split": scored.split,
        "options": scored.cohort.options.model_dump(mode="json"),
        "assumptions": list(scored.cohort.assumptions()),
        "labels": asked.labels,
        "records": records,
        "refused": int((~scored.answered).sum()),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def judge_site(
    version: JudgedVersion,
    origin: RegisteredVersion | None,
    site: str,
    scored: ScoredCohort,
    rows: NDArray[np.int64],
    found: Recalibration,
    compared: Compared,
) -> GateReport:
    """Better calibrated on patients that it has not seen, and otherwise the same: every check.

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
    return GateReport(
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
            answer_check(ROUND_TRIP, version, serve(version, repeats=1)),
            _same_as_judged(version, scored, rows, found),
            *calibration_checks(compared),
            *policy_checks(compared),
        ],
        site=site,
    )


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
