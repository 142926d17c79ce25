"""The model card: what a packaged model is, how it was made, how good it is and for whom, as Markdown.

After Mitchell et al. 2019 (Model Cards for Model Reporting), with the items of TRIPOD+AI (Collins et al., BMJ 2024,
385:e078378). Its YAML head is that of the Hugging Face Hub (https://huggingface.co/docs/hub/model-cards).
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from leadwise import __version__
from leadwise.atomic import write_atomically
from leadwise.contract import DISCLAIMER, SUPERCLASS_NAMES, SUPERCLASSES, TEST_FOLD
from leadwise.datasets.releases import GROUPS
from leadwise.datasets.store import MANIFEST_FILE
from leadwise.evaluation import (
    CALIBRATION_FILE,
    DECISION_FILE,
    METRICS_FILE,
    ROBUSTNESS_FILE,
    STATEMENTS_FILE,
    SUBGROUPS_FILE,
)
from leadwise.evaluation.metrics import metric_names
from leadwise.registry.gate import JSON_FILE, MARKDOWN_FILE, GateReport
from leadwise.registry.package import Package, trained_on
from leadwise.reports.evaluation_page import METHOD_NAMES

TEMPLATES = Path(__file__).parent / "templates"
HEADLINE: Mapping[str, str] = {
    "macro AUROC": "macro_auroc",
    "macro AUPRC": "macro_auprc",
    "mean binary accuracy at 0.5": "binary_accuracy",
    "its floor": "floor/binary_accuracy",
    "macro F1 at the chosen thresholds": "chosen/macro_f1",
    "all five classes right, at the chosen thresholds": "chosen/subset_accuracy",
    "macro AUROC, labelled records only": "labelled/macro_auroc",
}
HUB_METRICS: Mapping[str, str] = {"auroc": "roc_auc", "binary_accuracy": "accuracy"}
"""Where the Hub calls a metric otherwise."""
PER_CLASS = ("auroc", "auprc", "chosen/sensitivity", "chosen/specificity", "chosen/ppv", "chosen/npv")


def model_card(package: Package, workspace: Path, *, command: str, commit: str = "", elsewhere: str = "") -> str:
    """The card as Markdown, with a YAML head, of what the stages left in a workspace.

    Args:
        package: made from the workspace.
        workspace: with the store, the training and the evaluation of the fusion model.
        command: what made the model.
        commit: of the code; empty where it is not known.
        elsewhere: what was measured on other hospitals' recordings, in Markdown; empty where nothing was.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Markdown, not HTML: nothing is escaped, and everything comes from our own files.
    environment = Environment(loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, autoescape=False)
    environment.filters |= {"estimate": _estimate, "figure": _figure, "count": "{:,}".format}
    description = package.description
    of_model = Path(description["feature_set"]) / package.model
    evaluation = workspace / "evaluation" / of_model
    metrics = _read(evaluation / METRICS_FILE)
    statements = _read_if_there(evaluation / STATEMENTS_FILE)
    method = _read(evaluation / CALIBRATION_FILE)
    size = sum(file.stat().st_size for file in package.network_files.values()) / 2**20

    def figure(name: str, of: Mapping[str, Any] = metrics, rows: str = "test/") -> str:
        """``0.934 [0.927, 0.941]`` of a metric by its name without ``test/``."""
        low, high = of["intervals"].get(rows + name, [None, None])
        shown = low is not None and high is not None and not math.isclose(low, high)
        return _estimate({"value": of["metrics"].get(rows + name), "interval": [low, high] if shown else [None, None]})

    card = environment.get_template("model_card.md").render(
        description=description,
        training=_read(workspace / "models" / of_model / "training.json"),
        manifest=_read(workspace / "store" / MANIFEST_FILE),
        decision=_read(evaluation / DECISION_FILE),
        subgroups=_read(evaluation / SUBGROUPS_FILE)["subgroups"],
        robustness=_read_if_there(evaluation / ROBUSTNESS_FILE),
        rows=metrics["rows"],
        replicates=metrics["bootstrap"]["replicates"],
        measured=figure,
        headline=HEADLINE,
        per_class=PER_CLASS,
        superclasses={name: SUPERCLASS_NAMES[name] for name in SUPERCLASSES},
        calibration=METHOD_NAMES[method["calibration"]["method"]],
        temperature=method["temperature"],
        statements=sorted(statements.get("statements", ()), key=_by_area),
        macro_auroc=statements.get("macro_auroc"),
        size=f"{size:.1f} MiB",
        command=command,
        commit=commit,
        elsewhere=elsewhere,
        disclaimer=DISCLAIMER,
        as_yaml=lambda content: yaml.safe_dump(dict(content), sort_keys=False).rstrip(),
    )
    return f"{card_head(description)}\n{card.rstrip()}\n"


def card_head(description: Mapping[str, Any]) -> str:
    """The YAML between two lines of dashes by which the Hugging Face Hub files a model: what it is, and its figures.

    Args:
        description: content of ``model.json``, which carries the figures of the evaluation along.
    """
    data, network = description["data"], description["networks"]["fusion"]
    dataset, titles = trained_on(data, simulated=description["simulated"]), metric_names()
    measured = [
        {
            "type": HUB_METRICS.get(titles[name].metric.name, titles[name].metric.name),
            "name": titles[name].title,
            "value": round(value, 4),
        }
        for name, value in network["test"].items()
        # The no-information rate is no figure of the model.
        if value is not None and titles[name].metric.higher_is_better is not None
    ]
    tested = {
        "type": dataset.name,
        "name": f"{dataset.title} {data['release']}" if dataset.about_patients else dataset.title,
        "split": "test",
        "revision": str(data["release"]),
        "args": {"fold": TEST_FOLD, "records": description["test_records"]},
    }
    task = {"type": "other", "name": "diagnostic superclasses of a 12-lead ECG, multi-label classification"}
    head = {
        "license": "apache-2.0",
        "library_name": "onnx",
        "pipeline_tag": "other",
        "tags": ["ecg", "electrocardiogram", "cardiology", "medical", "multi-label-classification", "mlflow", "onnx"],
        "language": ["en"],
        "datasets": [dataset.name],
        "metrics": list(dict.fromkeys(one["type"] for one in measured)),
        "model-index": [
            {"name": dataset.model_name, "results": [{"task": task, "dataset": tested, "metrics": measured}]}
        ],
    }
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=120)}---\n"


def _by_area(entry: Mapping[str, Any]) -> tuple[int, float]:
    """Statements by group, then by AUROC on fold 10, highest first; undefined ones last."""
    value = entry["test"]["auroc"]["value"]
    return GROUPS.index(entry["group"]), 1.0 if value is None else -value


def _read_if_there(file: Path) -> dict[str, Any]:
    return _read(file) if file.is_file() else {}


def _estimate(found: Mapping[str, Any]) -> str:
    if found["value"] is None:
        return "undefined"
    low, high = found.get("interval") or (found.get("low"), found.get("high"))
    return f"{found['value']:.3f}" + ("" if low is None else f" [{low:.3f}, {high:.3f}]")


def _read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


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
