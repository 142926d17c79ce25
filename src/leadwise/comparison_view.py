"""The page of MLflow's UI on which models are compared: a saved view, and the address that opens it.

MLflow keeps a shared view as a tag of the experiment, named by the key in its address (``viewStateShareKey``); the
fields are those of ``ExperimentPageUIState`` and of the search above the table, in MLflow 3.17.
"""

import json
from collections.abc import Sequence
from typing import Any

from leadwise.contract import SUPERCLASSES

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
