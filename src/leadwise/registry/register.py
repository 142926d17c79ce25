"""A package becomes a version in the MLflow registry, champion if the gate lets it pass; and what is told there."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import mlflow

from leadwise import __version__
from leadwise.atomic import file_lock, write_atomically
from leadwise.config import Parameters
from leadwise.contract import DISCLAIMER, SUPERCLASSES, LeadwiseError
from leadwise.datasets.base import Dataset, datasets
from leadwise.datasets.store import open_store
from leadwise.evaluation import write_json
from leadwise.registry.candidates import build_package
from leadwise.registry.champion import CHALLENGER, CHAMPION, judged_or_marked, process_tag, promote, tidy_up
from leadwise.registry.gate import JSON_FILE, MARKDOWN_FILE, Gate, GateReport, JudgedVersion
from leadwise.registry.gate_checks import given_limits, leak_check
from leadwise.registry.package import (
    PACKAGE_FOLDER,
    Package,
    log_package,
    served_requirements,
    trained_on,
    unpack_bundled,
)
from leadwise.registry.smoke_test import HeldOutRows
from leadwise.serving.scorer import Scorer
from leadwise.tracking_store import command_line

REGISTERED_FILE = "registered.json"
REQUEST_FILE = "request.json"


class GateFailed(LeadwiseError):
    """A version did not pass the gate: it is challenger if it answers, and the champion is who it was.

    One for a site has no alias then.

    Attributes:
        registered: the version.
        report: why.
    """

    def __init__(self, registered: "Registered", report: GateReport) -> None:
        champion = f"version {report.champion} stays @{CHAMPION}" if report.champion else f"nothing is @{CHAMPION}"
        own = f"It is @{registered.alias}" if registered.alias else "It does not answer and has no alias"
        told = "It has no alias" if report.site else f"{own}; {champion}"
        super().__init__(f"{report.verdict} {told}.")
        self.registered = registered
        self.report = report


@dataclass(frozen=True)
class Registered:
    """What ``registered.json`` holds.

    Attributes:
        name: the registered model.
        version: its version, as MLflow counts.
        alias: the alias that now points at the version: ``champion``, or ``challenger`` where the gate let it not pass,
            or none where it does not answer.
        model: the fusion model inside.
        uri: what ``mlflow models serve -m`` takes.
        run_id: the run that logged it.
        simulated: whether the weights come from simulated data.
        requirements: the environment that the version asks for.
    """

    name: str
    version: str
    alias: str
    model: str
    uri: str
    run_id: str
    simulated: bool
    requirements: tuple[str, ...]


def register_champion(parameters: Parameters, *, tell: Callable[[str], object] = lambda text: None) -> Registered:
    """Package the better fusion model, or take the pretrained package; register it, and let the gate decide.

    Leaves ``package/``, ``registered.json``, ``request.json``, ``gate.json`` and ``gate.md`` in the workspace.

    Args:
        parameters: of the register stage.
        tell: is called with what killed registrations have left, and with the gate's report, once per judgement.

    Raises:
        LeadwiseError: weights from simulated data are to be registered as ``leadwise``, or an input leaks; there is
            nothing that may be registered, or the evaluation is of other weights.
        ModelError: the bundled package is absent or damaged.
        LeadwiseError: a limit names no metric.
        GateFailed: the version is registered and does not become champion.
        LeadwiseError: other registrations kept changing the champion meanwhile.
    """
    workspace, asked = parameters.shared.workspace, parameters.registration.registered_model
    rows = None
    # Refused before anything is exported.
    given_limits(parameters.gate)
    mlflow.set_tags(process_tag())
    # Another registration from this workspace would replace the package while it is logged.
    with file_lock(workspace / PACKAGE_FOLDER):
        if parameters.registration.source == "pretrained":
            package = unpack_bundled(workspace / PACKAGE_FOLDER)
        else:
            store = open_store(workspace / "store")
            registered_name(asked, trained_on(store.manifest, simulated=bool(store.manifest["simulated"])))
            package = build_package(parameters)
            rows = HeldOutRows.read(store)
        tidy_up(registered_name(asked, package.dataset), tell)
        candidate, registered = register_challenger(package, asked)
        write_atomically(workspace / REQUEST_FILE, json.dumps({"dataframe_records": [package.example]}))
    gate = Gate(candidate, rows, parameters.gate, parameters.shared.seed)

    def judge(champion: str | None) -> GateReport:
        # Told before the alias moves: a champion never lacks its report.
        report = gate.judge(champion)
        publish_report(report, package, workspace)
        tell(report.to_text())
        return report

    with judged_or_marked(candidate.name, candidate.version):
        report = promote(candidate.name, candidate.version, judge)
    alias = CHAMPION if report.passed else CHALLENGER if report.answers else ""
    return leave_registered(registered, alias, report, workspace)


def register_challenger(package: Package, asked: str) -> tuple[JudgedVersion, Registered]:
    """Register a package as a new version, which gets an alias when it has been judged.

    Args:
        package: what is registered.
        asked: the name in the registry, or ``auto``.

    Raises:
        LeadwiseError: weights from simulated data are to be registered as ``leadwise``, or an input leaks.
    """
    # By the weights, not by the store, which may hold other data by now.
    name = registered_name(asked, package.dataset)
    if problems := leak_check(package.folder).note:
        raise LeadwiseError(f"{package.folder}: {problems}; such a model is never registered")
    requirements = served_requirements()
    info = log_package(package, requirements)
    expected = Scorer.load(package.folder).score([package.example])[0]
    version = str(mlflow.register_model(info.model_uri, name, tags=version_tags(package) | process_tag()).version)
    describe_model(name, simulated=package.simulated)
    registered = Registered(
        name=name,
        version=version,
        alias="",
        model=package.model,
        uri=f"models:/{name}/{version}",
        run_id=str(info.run_id),
        simulated=package.simulated,
        requirements=tuple(requirements),
    )
    return JudgedVersion(name, version, package, expected), registered


def leave_registered(registered: Registered, alias: str, report: GateReport, folder: Path) -> Registered:
    """Write ``registered.json`` of a version that has been judged and has this alias now, or none.

    Raises:
        GateFailed: it did not pass.
    """
    if alias:
        registered = replace(registered, alias=alias, uri=f"models:/{registered.name}@{alias}")
    write_json(folder / REGISTERED_FILE, asdict(registered))
    if not report.passed:
        raise GateFailed(registered, report)
    return registered


def registered_name(asked: str, dataset: Dataset[Any]) -> str:
    """The name in the registry: ``auto`` chooses by the data.

    Raises:
        LeadwiseError: weights that say nothing about patients are to have the name of those that do.
    """
    if asked == "auto":
        return dataset.model_name
    real = {one.model_name for one in datasets().values() if one.about_patients}
    if not dataset.about_patients and asked.casefold() in real:
        raise LeadwiseError(
            f"registered-model: received {asked!r}, but the data are simulated; allowed: auto, {dataset.model_name}, "
            "or another name of yours"
        )
    return asked


def name_to_roll_back(parameters: Parameters) -> str:
    """The name in the registry: ``auto`` is the model that was last registered from the workspace.

    Raises:
        LeadwiseError: nothing was registered from there.
    """
    asked, file = parameters.registration.registered_model, parameters.shared.workspace / REGISTERED_FILE
    if asked != "auto":
        return asked
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["name"])
    except (OSError, ValueError, KeyError):
        raise LeadwiseError(
            f"registered-model: auto is what was registered from {file.parent}, and {file.name} is not there; name the "
            f"model, such as registered-model=leadwise"
        ) from None


def serve_command(registered: Registered, port: int) -> str:
    """The command that serves the version."""
    return command_line(
        "mlflow", "models", "serve", "-m", registered.uri, "--env-manager", "local", "--port", f"{port}"
    )


def curl_example(port: int, workspace: Path) -> str:
    """A command that asks the server for an answer to ``request.json``."""
    address, asked = f"http://127.0.0.1:{port}/invocations", f"@{workspace.resolve() / REQUEST_FILE}"
    return command_line("curl", "-s", address, "-H", "Content-Type: application/json", "-d", asked, variables={})


LONGEST_DESCRIPTION = 5000
"""Of a version, in MLflow's database."""

SIMULATED = " **Trained on simulated data: its answers say nothing about a patient.**"


def version_tags(package: Package) -> dict[str, str]:
    """Tags by which a version is found, and compared with another."""
    data, network = package.description["data"], package.description["networks"]["fusion"]
    validation, test = network["validation"], network["test"]
    return {
        "leadwise.version": __version__,
        "model": package.model,
        "feature_set": package.description["feature_set"],
        "data.digest": data["digest"],
        "data.release": str(data["release"]),
        "data.simulated": str(package.simulated).lower(),
        **{key: f"{value:.6f}" for key, value in validation.items()},
        **{f"test/{key}": f"{value:.6f}" for key, value in test.items() if value is not None},
    }


def describe_model(name: str, *, simulated: bool) -> None:
    """Describe a registered model, unless somebody has: what it answers, and which of its versions is in use."""
    client = mlflow.MlflowClient()
    if client.get_registered_model(name).description:
        return
    client.update_registered_model(
        name,
        f"A 12-lead ECG and a few facts about the patient in; calibrated probabilities of {', '.join(SUPERCLASSES)} "
        f"out.{SIMULATED if simulated else ''}\n\n"
        "`@champion` is in use, `@challenger` did not pass the promotion gate; each version begins with "
        f"the gate's verdict. `mlflow models serve -m models:/{name}@champion --env-manager local` answers over REST."
        f"\n\n{DISCLAIMER}",
    )


def describe(package: Package, report: GateReport) -> str:
    """The description of a version, in Markdown: the verdict, what it is, how good on fold 9 and 10, every check."""
    data = package.description["data"]
    origin = SIMULATED.strip() if package.simulated else "Trained on PTB-XL (Wagner et al. 2020, CC BY 4.0)."
    rows = [
        f"| {network['name']} | {_figure(network['validation'].get('val/macro_auroc'))} | "
        f"{_figure(network['test'].get('macro_auroc'))} | {_figure(network['test'].get('binary_accuracy'))} |"
        for network in package.description["networks"].values()
    ]
    test = package.description["networks"]["fusion"]["test"]
    # The list of versions shows the first line as it stands, signs of Markdown too.
    first = f"{report.verdict} Fold 10: macro AUROC {_figure(test.get('macro_auroc'))}."
    says = "\n".join(
        [
            f"{origin} Data release {data['release']}, digest `{data['digest'][:12]}`.",
            "",
            "| model | fold 9 macro AUROC | fold 10 macro AUROC | fold 10 mean binary accuracy |",
            "|---|---|---|---|",
            *rows,
            "",
            f"`{package.model}` answers a recording, `metadata` answers without one. {DISCLAIMER}",
        ]
    )
    for notes in (True, False):
        text = f"{report.to_markdown(notes=notes)}\n\n{says}".replace(report.verdict, first, 1)
        if len(text) <= LONGEST_DESCRIPTION:
            return text
    return f"{text[: LONGEST_DESCRIPTION - 1]}…"


def _figure(value: float | None, digits: int = 4) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}"


def publish_report(report: GateReport, package: Package, workspace: Path) -> None:
    """Tell the gate's report to the workspace, to the active run, and to the version."""
    write_atomically(workspace / JSON_FILE, json.dumps(report.to_dict(), indent=2, allow_nan=False) + "\n")
    write_atomically(workspace / MARKDOWN_FILE, report.to_markdown() + "\n")
    verdict = "passed" if report.passed else "failed"
    for name in (JSON_FILE, MARKDOWN_FILE):
        mlflow.log_artifact(str(workspace / name))
    mlflow.log_metrics(report.metrics())
    mlflow.set_tag("gate", verdict)
    client = mlflow.MlflowClient()
    client.update_model_version(report.name, report.version, description=describe(package, report))
    tags = {
        "gate": verdict,
        "gate.compared-with": report.champion or "none",
        "gate.failed": "; ".join(check.name for check in report.failed) or "none",
    }
    for name, value in tags.items():
        client.set_model_version_tag(report.name, report.version, name, value)


ELSEWHERE = "elsewhere."
"""``elsewhere.DATASET.VARIANT``, such as ``elsewhere.ludb.strict``: what a version reached there, as JSON."""
HEADING = "### Elsewhere"


def with_elsewhere(description: str, tags: Mapping[str, str]) -> str:
    """A version's description with a table of what its tags say it reached elsewhere, in place of an earlier one."""
    before = description.partition(f"\n\n{HEADING}")[0]
    section = elsewhere_table(tags)
    whole = f"{before}\n\n{section}" if before else section
    if len(whole) <= LONGEST_DESCRIPTION:
        return whole
    kept = before[: max(0, LONGEST_DESCRIPTION - len(section) - 3)]
    return f"{kept}…\n\n{section}"[:LONGEST_DESCRIPTION]


def elsewhere_table(tags: Mapping[str, str]) -> str:
    """The section of a card: a row per dataset and variant of its labels, in Markdown."""
    rows = []
    for key in sorted(name for name in tags if name.startswith(ELSEWHERE)):
        reached = json.loads(tags[key])
        dataset, _, chosen = key.removeprefix(ELSEWHERE).partition(".")
        classes = ", ".join(reached["classes"]) or "none has enough"
        cells = (f"{dataset}, {chosen}", f"{reached['records']:,}", classes, _cell(reached["macro_auroc"]),
                 _cell(reached["ece"]), reached["verdict"].replace("_", " "), f"`{reached['digest']}`")  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |")
    heads = "| dataset, labels | recordings | classes | macro AUROC | calibration error | verdict | digest |"
    return "\n".join([HEADING, "", heads, "|---|--:|---|---|---|---|---|", *rows])


def _cell(found: list[float | None] | None) -> str:
    if found is None or found[0] is None:
        return "n/a"
    value, low, high = found
    return f"{value:.3f}" + ("" if low is None or high is None else f" [{low:.3f}, {high:.3f}]")
