"""The ingest stage as a program: its exit status, and what it leaves in the tracking server."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from leadwise.config import PROJECT_ROOT

pytestmark = pytest.mark.timeout(1200)

DATABASE = "ptbxl_database.csv"
PAGES = {"validation/summary.html", "validation/data_docs"}


class Workplace:
    """A folder with a tracking database of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tracking_uri = f"sqlite:///{folder / 'mlflow.db'}"

    def ingest(self, tree: Path) -> "subprocess.CompletedProcess[str]":
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        environment = inherited | {"MLFLOW_TRACKING_URI": self.tracking_uri, "PYTHONPATH": str(PROJECT_ROOT / "src")}
        script = PROJECT_ROOT / "pipelines" / "ingest.py"
        command = [sys.executable, str(script), "--source", str(tree), "--workspace", str(self.folder / "workspace")]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=1000
        )

    def latest_run(self) -> tuple[Run, set[str]]:
        """The newest run, and the paths of its artifacts."""
        client = MlflowClient(self.tracking_uri)
        (run, *_) = client.search_runs(["1"], order_by=["attributes.start_time DESC"])
        return run, {
            file.path for folder in (None, "validation") for file in client.list_artifacts(run.info.run_id, folder)
        }


def test_what_is_wrong_stops_with_status_1_and_a_report_and_two_runs_can_be_compared(
    simulated_tree: Path, tmp_path: Path
) -> None:
    damaged = Path(shutil.copytree(simulated_tree, tmp_path / "damaged"))
    table = pd.read_csv(damaged / DATABASE, dtype=str)
    table.loc[4, "sex"] = "2"
    table.to_csv(damaged / DATABASE, index=False)
    workplace = Workplace(tmp_path)

    stopped = workplace.ingest(damaged)
    assert stopped.returncode == 1
    assert "Traceback" not in stopped.stderr
    assert "Sex is 0 (male) or 1 (female): 1 of" in stopped.stderr
    assert "ecg_id 5: 2" in stopped.stderr
    bad, pages = workplace.latest_run()
    assert (bad.info.status, bad.data.tags["validation.verdict"]) == ("FAILED", "stopped")
    assert pages >= PAGES
    assert not (tmp_path / "workspace" / "store").exists()

    done = workplace.ingest(simulated_tree)
    assert done.returncode == 0, done.stderr
    good, pages = workplace.latest_run()
    assert good.info.status == "FINISHED"
    assert pages >= PAGES | {"manifest.json"}
    warnings = [line for line in done.stdout.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == good.data.metrics["ingest/expectations/failed_warning"]
    assert f"{len(warnings)} validation warnings" in done.stdout
    values = [run.data.metrics["ingest/table/sex_coded"] for run in (bad, good)]
    assert values == [1, 0]
    assert {name for name in bad.data.metrics if name.startswith("ingest/table/")} <= good.data.metrics.keys()
