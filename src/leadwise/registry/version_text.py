"""What a model and its versions say of themselves in the registry; of a version, the gate's verdict first."""

import json
from pathlib import Path

from leadwise import __version__
from leadwise.atomic import write_atomically
from leadwise.contract import DISCLAIMER, SUPERCLASSES
from leadwise.registry.gate.report import JSON_FILE, MARKDOWN_FILE, GateReport
from leadwise.registry.packaging import Package

LONGEST_DESCRIPTION = 5000
"""Of a version, in MLflow's database."""

SIMULATED = " **Trained on simulated data: its answers say nothing about a patient.**"


def version_tags(package: Package) -> dict[str, str]:
    """Tags by which a version is found, and compared with another."""
    data, validation = package.description["data"], package.description["networks"]["fusion"]["validation"]
    return {
        "leadwise.version": __version__,
        "model": package.model,
        "feature_set": package.description["feature_set"],
        "data.digest": data["digest"],
        "data.release": str(data["release"]),
        "data.simulated": str(package.simulated).lower(),
        **{key: f"{value:.6f}" for key, value in validation.items()},
    }


def introduce(name: str, *, simulated: bool) -> None:
    """Describe a registered model, unless somebody has: what it answers, and which of its versions is in use."""
    import mlflow

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
        text = f"{report.to_markdown(notes=notes)}\n\n{says}"
        if len(text) <= LONGEST_DESCRIPTION:
            return text
    return f"{text[: LONGEST_DESCRIPTION - 1]}…"


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def publish_report(report: GateReport, package: Package, workspace: Path) -> None:
    """Tell the gate's report to the workspace, to the active run, and to the version."""
    import mlflow

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
