"""The whole pipeline: every stage as a nested MLflow project run, and what to say when they have ended."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
from mlflow.exceptions import ExecutionException, MlflowException

from leadwise.config import PROJECT_ROOT, Parameters, as_text
from leadwise.contract import DISCLAIMER, SERVED_FEATURE_SET, LeadwiseError
from leadwise.stage import end_lost_run, tag_data
from leadwise.stopping import Stopped
from leadwise.terminal import LOGS_FOLDER
from leadwise.tracking_store import command_line, data_tags, given_up, tracking_address, view_address

if TYPE_CHECKING:
    from leadwise.reports.report_page import Page

UI_PORT = 5000
SERVER_PORT = 5001


def stages_of(parameters: Parameters) -> list[str]:
    """The stages that a run of the pipeline has, in order."""
    stages = ["ingest", "tune", "train", "evaluate", "register"]
    if not parameters.main.with_tuning:
        stages.remove("tune")
    if parameters.shared.feature_set != SERVED_FEATURE_SET:
        stages.remove("register")
    return stages


def run_pipeline(parameters: Parameters) -> dict[str, float]:
    """Run the stages one after another, each in a run below the active one.

    A version that does not pass the promotion gate ends the register stage with an error, and this function without
    one: there is a report to tell, see ``closing_report`` and ``gate_failed``.

    Returns:
        Seconds per stage.

    Raises:
        LeadwiseError: a stage failed; those after it were not started.
    """
    from leadwise.datasets.store import MANIFEST_FILE
    from leadwise.registry.champion import process_tag

    parent = mlflow.active_run()
    assert parent is not None
    mlflow.set_tags(process_tag())
    if parameters.main.with_tuning:
        parameters = parameters.model_copy(update={"train": parameters.train.model_copy(update={"use_tuned": True})})
    seconds = {}
    for stage in stages_of(parameters):
        started = time.monotonic()
        before = _registered(parameters.shared.workspace) if stage == "register" else ""
        print(f"\n== {stage}", flush=True)
        try:
            mlflow.projects.run(
                str(PROJECT_ROOT),
                entry_point=stage,
                parameters=as_text(parameters.flat(stage)),
                experiment_id=parent.info.experiment_id,
                run_name=stage,
                # This process runs inside the environment already, whichever manager made it.
                env_manager="local",
            )
        except ExecutionException as error:
            _end_runs_below(parent.info.run_id, parent.info.experiment_id, "FAILED", "its process has ended")
            judged = stage == "register" and _registered(parameters.shared.workspace) != before
            if not (judged and gate_failed(parameters.shared.workspace)):
                raise LeadwiseError(f"the {stage} stage failed; its message stands above") from error
        except Stopped as stopped:
            _end_runs_below(parent.info.run_id, parent.info.experiment_id, "KILLED", str(stopped))
            raise
        seconds[stage] = round(time.monotonic() - started, 1)
        print(f"-- {stage}: {seconds[stage]:.0f} s", flush=True)
        mlflow.log_metric(f"seconds/{stage}", seconds[stage])
        if stage == "ingest":
            manifest = (parameters.shared.workspace / "store" / MANIFEST_FILE).read_text(encoding="utf-8")
            tag_data(data_tags(json.loads(manifest)))
    return seconds


def _end_runs_below(run_id: str, experiment_id: str, status: str, why: str) -> None:
    """End what a stage that was killed has left running; one that ends in order has left nothing."""

    try:
        for run in mlflow.search_runs([experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'", output_format="list"):
            _end_runs_below(run.info.run_id, experiment_id, status, why)
            end_lost_run(run, status, why)
    except MlflowException as error:
        if not given_up(error):
            raise


def gate_failed(workspace: Path) -> bool:
    """Whether the version that was registered last from a workspace has not become champion."""
    from leadwise.registry.gate import JSON_FILE

    return not json.loads((workspace / JSON_FILE).read_text(encoding="utf-8"))["passed"]


def _registered(workspace: Path) -> str:
    """Which version was registered last from a workspace; empty: none."""
    from leadwise.registry.register import REGISTERED_FILE

    file = workspace / REGISTERED_FILE
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def closing_report(parameters: Parameters, seconds: dict[str, float]) -> str:
    """The table of the models, what was registered, and the commands to go on with."""
    from leadwise.evaluation import REPORT_FILE, SUMMARY_FILE
    from leadwise.reports.overview import terminal_table

    workspace = parameters.shared.workspace
    folder = _evaluation(parameters)
    summary = json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))
    run = mlflow.active_run()
    lines = [
        f"\n== results, after {sum(seconds.values()):.0f} s",
        terminal_table(summary),
        f"Report: {(folder / REPORT_FILE).resolve()}",
        "",
        *_tracking_lines(run.info.experiment_id if run else "0"),
    ]
    if "register" in seconds:
        lines += _serving_lines(workspace)
    else:
        lines += ["", "Nothing was registered: the original feature set leaks the diagnosis."]
    lines += [f"What libraries said: {(workspace / LOGS_FOLDER).resolve()}"]
    return "\n".join([*lines, "", DISCLAIMER])


def closing_summary(parameters: Parameters, seconds: dict[str, float]) -> "Page":
    """The same as a page, for the run."""
    from leadwise.datasets.store import MANIFEST_FILE
    from leadwise.evaluation import SUMMARY_FILE
    from leadwise.registry.gate import JSON_FILE
    from leadwise.reports.overview import pipeline_summary

    workspace = parameters.shared.workspace
    summary = json.loads((_evaluation(parameters) / SUMMARY_FILE).read_text(encoding="utf-8"))
    manifest = json.loads((workspace / "store" / MANIFEST_FILE).read_text(encoding="utf-8"))
    judged = "register" in seconds
    verdict = json.loads((workspace / JSON_FILE).read_text(encoding="utf-8"))["verdict"] if judged else ""
    return pipeline_summary(summary, str(manifest["release"]), seconds, verdict)


def _evaluation(parameters: Parameters) -> Path:
    return parameters.shared.workspace / "evaluation" / parameters.shared.feature_set


def _by_make() -> bool:
    """Whether `make` of this checkout reaches the tracking store: its own file."""
    return tracking_address() == f"sqlite:///{PROJECT_ROOT / 'mlflow.db'}" and (PROJECT_ROOT / "Makefile").is_file()


def _tracking_lines(experiment: str) -> list[str]:
    server = address = tracking_address()
    lines = ["Compare the models in the tracking UI:"]
    if not address.startswith("http"):
        server = f"http://127.0.0.1:{UI_PORT}"
        # The job execution that this turns off starts eight more processes, and Leadwise has no use for them.
        words = ("mlflow", "server", "--workers", "1", "--port", f"{UI_PORT}", "--backend-store-uri", address)
        command = command_line(*words, variables={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"})
        lines.append("  make ui" if _by_make() else f"  {command}")
    return [*lines, f"  {view_address(server, experiment)}"]


def _serving_lines(workspace: Path) -> list[str]:
    from leadwise.registry.champion import CHAMPION
    from leadwise.registry.gate import JSON_FILE, MARKDOWN_FILE
    from leadwise.registry.register import REGISTERED_FILE, Registered, curl_example, serve_command

    registered = Registered(**json.loads((workspace / REGISTERED_FILE).read_text(encoding="utf-8")))
    gate = json.loads((workspace / JSON_FILE).read_text(encoding="utf-8"))
    by_make = _by_make() and registered.alias == CHAMPION
    return [
        f"Serve {registered.name} version {registered.version}, alias {registered.alias or 'none'} "
        f"({registered.model}), and ask it from another terminal:",
        f"  make serve MODEL={registered.name}" if by_make else f"  {serve_command(registered, SERVER_PORT)}",
        f"  {curl_example(SERVER_PORT, workspace)}",
        "",
        gate["verdict"],
        f"Every check: {(workspace / MARKDOWN_FILE).resolve()}",
    ]
