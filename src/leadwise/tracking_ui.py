"""What a person finds in MLflow's tracking UI: the tags that every run carries, and the page that compares models.

MLflow keeps a shared view as a tag of the experiment, named by the key in its address (``viewStateShareKey``); the
fields are those of ``ExperimentPageUIState`` and of the search above the table, in MLflow 3.17.
"""

import json
import socket
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from leadwise import __version__
from leadwise.config import PROJECT_ROOT, Parameters
from leadwise.contract import SUPERCLASSES
from leadwise.models.spec import keras_backend

Level = Literal["pipeline", "stage", "model", "trial"]
"""What a run is of; a study is of a model."""

KEY = "leadwise-models"
TAG = f"mlflow.sharedViewState.{KEY}"
FILTER = "tags.stage = 'evaluate' and tags.level = 'model'"
METRICS = (
    "test/macro_auroc",
    *(f"test/auroc/{name}" for name in SUPERCLASSES),
    "test/binary_accuracy",
    "test/ece",
    "val/macro_auroc",
)
CHARTS = "^test/(macro_auroc|macro_f1|binary_accuracy|ece|auroc/[A-Z]+)$"
"""Of the hundreds that there are."""
PARAMETERS = ("learning-rate", "encoder", "encoder-width", "weight-decay", "epochs")


def stage_tags(stage: str, parameters: Parameters) -> dict[str, str]:
    """What is known of a stage when it begins."""
    level: Level = "pipeline" if stage == "main" else "stage"
    tags = {
        "level": level,
        "stage": stage,
        "feature_set": parameters.shared.feature_set,
        "seed": str(parameters.shared.seed),
        "backend": keras_backend(),
        "host": socket.gethostname(),
        "leadwise.version": __version__,
        "leadwise.commit": commit(),
    }
    if "model" in parameters.flat(stage):
        tags["model"] = parameters.train.model
    return {name: value for name, value in tags.items() if value}


def data_tags(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Which data a run is about, from the store's manifest."""
    return {
        "data.digest": str(manifest["digest"]),
        "data.release": str(manifest["release"]),
        "data.simulated": str(manifest["simulated"]).lower(),
    }


def commit() -> str:
    """The commit of the code, with ``-dirty`` where files differ from it; empty outside of a checkout."""
    if not (PROJECT_ROOT / ".git").exists():
        # An installed package may lie within somebody else's checkout.
        return ""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=PROJECT_ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
    except OSError:
        return ""
    return found.stdout.strip()


def view(metrics: Sequence[str] = METRICS, parameters: Sequence[str] = PARAMETERS) -> dict[str, Any]:
    """The evaluated models, the best first: their metrics of fold 10, then how they were trained."""
    columns = [*(_key("metrics", name) for name in metrics), *(_key("params", name) for name in parameters)]
    return {
        "searchFilter": FILTER,
        "orderByKey": _key("metrics", metrics[0]),
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": {},
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "FIRST_10_RUNS",
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "chartsSearchFilter": CHARTS,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


def _key(kind: str, name: str) -> str:
    """A column as MLflow's table calls it."""
    return f"{kind}.`{name}`"


def save_view() -> None:
    """Keep the view in the experiment of the active run."""
    import mlflow

    run = mlflow.active_run()
    assert run is not None
    mlflow.MlflowClient().set_experiment_tag(run.info.experiment_id, TAG, json.dumps(view()))


def view_address(server: str, experiment: str) -> str:
    """What a browser opens; without ``workflowType`` MLflow opens its page for language models."""
    return f"{server}/#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey={KEY}"
