"""A registered version for one site: the same networks, with the calibration and the thresholds that fit its patients.

One half of the site's patients is fitted on, the other one judges. Only a version that is better there gets the alias
``site-NAME``; the champion stays what it is.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leadwise.atomic import folder_written_atomically, write_atomically
from leadwise.calibration import Calibration
from leadwise.config import Parameters, Recalibrate
from leadwise.contract import SUPERCLASSES, LeadwiseError
from leadwise.datasets.base import chosen_cohort
from leadwise.evaluation.recalibration import Recalibration, prior_shift, recalibrate, site_policies
from leadwise.evaluation.site_comparison import Side, compare
from leadwise.policies import read_policies
from leadwise.registry.champion import judged_or_marked, process_tag, tidy_up
from leadwise.registry.cohort_scoring import ScoredCohort, score_cohort
from leadwise.registry.load import package_folder
from leadwise.registry.model_card import publish_report
from leadwise.registry.package import CODE_FOLDER, EXAMPLE_FILE, Package, example_row, stage_code, trained_on
from leadwise.registry.register import REGISTERED_FILE, Registered, register_challenger, registered_name
from leadwise.registry.site_gate import REPLICATES, SiteReport, judge_site
from leadwise.serving.scorer import DESCRIPTION_FILE, RegisteredVersion, Scorer, registered_version

SITES = "sites"
SITE_FILE = "site.json"
OF_CALIBRATION = ("ece", "binary_accuracy", "chosen/macro_f1")
"""Figures of fold 10 that another calibration changes: a version for a site does not have them."""


class SiteError(LeadwiseError):
    """A site cannot be calibrated for; the message names the parameter."""


class SiteRefused(LeadwiseError):
    """The version is registered, was not found better on the patients that it had not seen, and has no alias.

    Attributes:
        registered: the version.
        report: why.
    """

    def __init__(self, registered: Registered, report: SiteReport) -> None:
        super().__init__(f"{report.verdict} It has no alias.")
        self.registered, self.report = registered, report


@dataclass(frozen=True)
class Halves:
    """The answered recordings of a site, parted by patient.

    Attributes:
        labels: ``(record, class)`` of 0, 1 and NaN.
        probabilities: ``(record, class)`` as the model answered.
        patients: ``(record,)``.
        rows: ``(record,)``, places in the table of the cohort.
        fitted: ``(record,)``: whether it is in the half that is fitted on.
    """

    labels: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    patients: NDArray[Any]
    rows: NDArray[np.int64]
    fitted: NDArray[np.bool_]

    @classmethod
    def of(cls, scored: ScoredCohort, seed: int) -> "Halves":
        """Part them; the seed decides which patients are fitted on.

        Raises:
            SiteError: fewer than two patients were answered.
        """
        answered = scored.answered
        patients, patient = np.unique(scored.patients[answered], return_inverse=True)
        if len(patients) < 2:
            raise SiteError(
                f"{scored.source}: {len(patients)} patients were answered; two halves need at least one each"
            )
        first = np.random.default_rng(seed).permutation(len(patients)) < len(patients) / 2
        return cls(
            scored.labels[answered],
            scored.probabilities[answered],
            scored.patients[answered],
            np.flatnonzero(answered),
            first[patient],
        )


def recalibrate_site(parameters: Parameters, *, tell: Callable[[str], object] = lambda text: None) -> Registered:
    """Score a site's recordings, fit on half of its patients, register the result, and let the other half judge.

    Leaves ``workspace/sites/NAME/``: ``checks/``, ``answers.parquet``, ``package/``, ``site.json``, ``gate.json``,
    ``gate.md`` and ``registered.json``.

    Args:
        parameters: of the recalibrate stage.
        tell: is called with what is done, and with the gate's report.

    Raises:
        SiteRefused: the version is registered and has no alias.
        LeadwiseError: there is no such model or dataset, or the recordings cannot be taken.
    """
    import mlflow

    asked = parameters.recalibration
    folder = parameters.shared.workspace / SITES / asked.site
    mlflow.set_tags(process_tag() | {"site": asked.site})
    with package_folder(asked.model) as source:
        origin = registered_version(source.parent)
        scored = _scored(asked, source, origin, folder)
        halves = Halves.of(scored, parameters.shared.seed)
        description = json.loads((source / DESCRIPTION_FILE).read_text(encoding="utf-8"))
        found = fit_site(halves, description, asked.labels)
        made = site_description(description, found, halves, _provenance(asked, scored, halves, origin))
        package = site_package(source, made, folder / "package")
    name = registered_name(origin.name if origin else "auto", package.dataset)
    tidy_up(name, tell)
    version, registered = register_challenger(package, name)
    for tag, value in _tags(asked, scored, origin).items():
        mlflow.MlflowClient().set_model_version_tag(name, version.version, tag, value)
    judged = ~halves.fitted
    before, after = (
        Side(p[judged], read_policies(of["networks"]["fusion"]["decision"])[0])
        for p, of in ((halves.probabilities, description), (found.apply(halves.probabilities), made))
    )
    compared = compare(
        halves.labels[judged],
        before,
        after,
        halves.patients[judged],
        replicates=REPLICATES,
        seed=parameters.shared.seed,
    )
    with judged_or_marked(name, version.version):
        report = judge_site(version, origin, asked.site, scored, halves.rows[judged], found, compared)
        write_atomically(folder / SITE_FILE, json.dumps(made["site"] | compared.to_dict(), indent=1) + "\n")
        publish_report(report, package, folder)
        mlflow.log_artifact(str(folder / SITE_FILE))
        tell(report.to_text())
    if report.passed:
        alias = f"site-{asked.site}"
        mlflow.MlflowClient().set_registered_model_alias(name, alias, version.version)
        registered = replace(registered, alias=alias, uri=f"models:/{name}@{alias}")
    write_atomically(folder / REGISTERED_FILE, json.dumps(asdict(registered), indent=2) + "\n")
    if not report.passed:
        raise SiteRefused(registered, report)
    return registered


def _scored(asked: Recalibrate, package: Path, origin: RegisteredVersion | None, folder: Path) -> ScoredCohort:
    cohort = chosen_cohort(asked.source, asked.dataset, asked.label_map, asked.options)
    folder.mkdir(parents=True, exist_ok=True)
    scored = score_cohort(
        cohort,
        asked.source,
        Scorer.load(package, origin),
        folder / "checks",
        split=asked.split,
        max_unreadable_share=asked.max_unreadable_share,
    )
    scored.write(folder / "answers.parquet")
    return scored


def fit_site(halves: Halves, description: Mapping[str, Any], labels: str) -> Recalibration:
    """What is fitted on the first half: on its labels, or without any.

    Raises:
        SiteError: labels are not to be used, and the package does not say how common the classes were.
    """
    first = halves.fitted
    if labels == "known":
        return recalibrate(halves.labels[first], halves.probabilities[first])
    return prior_shift(halves.probabilities[first], class_rates(description))


def class_rates(description: Mapping[str, Any]) -> dict[str, float]:
    """Share of each class among the records that a package was calibrated on, or in its whole dataset.

    Raises:
        SiteError: neither is known.
    """
    decision, data = description["networks"]["fusion"]["decision"], description["data"]
    if "records" in decision:
        return {name: decision["positives"][name] / decision["records"] for name in SUPERCLASSES}
    counts = trained_on(data, simulated=bool(description["simulated"])).known_counts(str(data["release"]))
    if not counts:
        raise SiteError(
            "labels: received none; the package does not say how common each class was where it was calibrated, and "
            "nothing is known of its data; register it again, or take labels=known"
        )
    return {name: counts[name] / counts["rows"] for name in SUPERCLASSES}


def site_description(
    description: Mapping[str, Any], found: Recalibration, halves: Halves, provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """``model.json`` for the site: another decision of the network that sees recordings, and where it comes from.

    The network that answers without a recording, and the statements, stay as they are.
    """
    made: dict[str, Any] = json.loads(json.dumps(description))
    network = made["networks"]["fusion"]
    decision, first = network["decision"], halves.fitted
    policies, used = read_policies(decision)
    new = site_policies(policies, found, halves.labels[first], halves.probabilities[first])
    in_use = new[used].to_dict()
    network["decision"] = (
        decision
        | found.after(Calibration.from_dict(decision)).to_dict()
        | {
            "thresholds": in_use["thresholds"],
            "uncertain": in_use["uncertain"],
            "chosen_on": f"half of the patients of site {provenance['name']}",
            "positives": {name: one.positives for name, one in found.changes.items()},
            "records": int(first.sum()),
            "policies": {name: policy.to_dict() for name, policy in new.items()},
        }
    )
    network["test"] = {name: value for name, value in network["test"].items() if name not in OF_CALIBRATION}
    # They are of fold 10 at thresholds that are no longer in use.
    network.pop("policy_rates", None)
    made["site"] = {**provenance, "changes": found.to_dict()}
    return made


def site_package(source: Path, description: Mapping[str, Any], folder: Path) -> Package:
    """Write a package with other decisions: the networks are copied byte by byte."""
    with folder_written_atomically(folder) as target:
        for network in description["networks"].values():
            shutil.copyfile(source / network["file"], target / network["file"])
        write_atomically(target / DESCRIPTION_FILE, json.dumps(description, indent=1) + "\n")
        write_atomically(target / EXAMPLE_FILE, json.dumps(example_row()) + "\n")
        stage_code(target / CODE_FOLDER)
    return Package.read(folder)


def _provenance(
    asked: Recalibrate, scored: ScoredCohort, halves: Halves, origin: RegisteredVersion | None
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
        "records": {"fitted": int(halves.fitted.sum()), "judged": int((~halves.fitted).sum())},
        "refused": int((~scored.answered).sum()),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _tags(asked: Recalibrate, scored: ScoredCohort, origin: RegisteredVersion | None) -> dict[str, str]:
    return {
        "site": asked.site,
        "site.dataset": scored.cohort.name,
        "site.digest": scored.digest,
        "site.labels": asked.labels,
        "site.from": origin.version if origin else asked.model,
    }
