"""Put a registered package into the source tree as the pretrained one, with its model card.

python scripts/bundle.py --workspace workspace/ptbxl --command "make run DATA=..."

The card says what the model is, how it was made, how good it is and for whom, after Mitchell et al. 2019 (Model Cards
for Model Reporting), with the items of TRIPOD+AI (Collins et al., BMJ 2024, 385:e078378). Its YAML head is that of the
Hugging Face Hub (https://huggingface.co/docs/hub/model-cards).
"""

import argparse
import json
import math
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from leadwise.atomic import folder_written_atomically
from leadwise.contract import DISCLAIMER, SUPERCLASS_NAMES, SUPERCLASSES, TEST_FOLD, LeadwiseError
from leadwise.datasets.releases import GROUPS, sha256_of
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
from leadwise.registry.gate import JSON_FILE
from leadwise.registry.load import BUNDLED, CARD_FILE, SUMS_FILE, ModelError
from leadwise.registry.package import EXAMPLE_FILE, PACKAGE_FOLDER, Package, trained_on
from leadwise.reports.evaluation_page import METHOD_NAMES
from leadwise.serving.scorer import DESCRIPTION_FILE, read_description
from leadwise.tracking_store import commit

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
    # Markdown, not HTML: nothing is escaped, and everything comes from our own files.
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, autoescape=False
    )
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


def _figure(value: float | None, digits: int = 4) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}"


def _read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


LARGEST_BYTES = 20 * 2**20


def bundle(package: Package, card: str, bundled: Path = BUNDLED) -> list[Path]:
    """Write a package and its card where ``unpack_bundled`` finds them.

    Args:
        package: of models trained on PTB-XL.
        card: the model card, as Markdown.
        bundled: where to; replaced if it is there.

    Returns:
        The files.

    Raises:
        ModelError: the models were trained on simulated data, or the package is larger than 20 MiB.
    """
    if package.simulated:
        raise ModelError(f"{package.folder}: trained on simulated data; only models of PTB-XL are bundled")
    names = [DESCRIPTION_FILE, EXAMPLE_FILE, *(file.name for file in package.network_files.values())]
    size = sum((package.folder / name).stat().st_size for name in names)
    if size > LARGEST_BYTES:
        raise ModelError(f"{package.folder}: received {size / 2**20:.1f} MiB; allowed: {LARGEST_BYTES / 2**20:g} MiB")
    with folder_written_atomically(bundled) as target:
        for name in names:
            shutil.copyfile(package.folder / name, target / name)
        (target / DESCRIPTION_FILE).write_text(json.dumps(read_description(target), indent=1) + "\n", encoding="utf-8")
        (target / CARD_FILE).write_text(card, encoding="utf-8")
        sums = [f"{sha256_of(target / name)}  {name}" for name in sorted([*names, CARD_FILE])]
        (target / SUMS_FILE).write_text("\n".join(sums) + "\n", encoding="utf-8")
    return sorted(bundled.iterdir())


def require_passed(workspace: Path) -> None:
    """Only what the gate let pass is brought along.

    Raises:
        ModelError: it did not, or was not asked.
    """
    file = workspace / JSON_FILE
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{file}: no report of the gate ({error}); run the register stage first") from None
    if not report["passed"]:
        raise ModelError(f"{file}: {report['verdict']}")


def bundle_workspace(
    workspace: Path, command: str, destination: Path | None = None, trained_by: str = "", elsewhere: str = ""
) -> None:
    """Ship what the register stage packaged from a workspace, and what the gate let pass.

    Args:
        workspace: where the register stage has left a package.
        command: what made it.
        destination: a folder; ``None``: the source tree.
        trained_by: the commit whose code trained it; empty: that of this checkout.
        elsewhere: what was measured on other hospitals' recordings, in Markdown.

    Raises:
        ModelError: the package did not pass the gate, or must not be shipped.
    """
    require_passed(workspace)
    package = Package.read(workspace / PACKAGE_FOLDER)
    card = model_card(package, workspace, command=command, commit=trained_by or commit(), elsewhere=elsewhere.strip())
    for file in bundle(package, card, destination or BUNDLED):
        print(f"{file}  {file.stat().st_size:,} bytes")


def main() -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True, help="where the register stage has left a package")
    parser.add_argument("--command", required=True, help="what made it, for the model card")
    parser.add_argument("--destination", type=Path, help="another folder than that of the source tree")
    parser.add_argument("--commit", default="", help="whose code trained it (default: of this checkout)")
    parser.add_argument("--elsewhere", type=Path, help="Markdown for the card: what `leadwise validate` found")
    arguments = parser.parse_args()
    try:
        elsewhere = arguments.elsewhere.read_text(encoding="utf-8") if arguments.elsewhere else ""
        bundle_workspace(arguments.workspace, arguments.command, arguments.destination, arguments.commit, elsewhere)
    except (LeadwiseError, OSError, UnicodeDecodeError) as error:
        sys.exit(f"bundle: error: {error}")


if __name__ == "__main__":
    main()
