"""Computes: metrics, calibration, decisions, subgroups, robustness; here the names of the files that evaluations leave.

``<workspace>/evaluation/<feature set>/<model>/`` holds what belongs to one model, the folder above it what lays the
models side by side.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leadwise.atomic import write_atomically

METRICS_FILE = "metrics.json"
DECISION_FILE = "decision.json"
PREDICTIONS_FILE = "predictions.parquet"
CALIBRATION_FILE = "calibration.json"
POLICIES_FILE = "policies.json"
STATEMENTS_FILE = "statements.json"
SUBGROUPS_FILE = "subgroups.json"
ROBUSTNESS_FILE = "robustness.json"
FIGURES_FOLDER = "figures"
REPORT_FILE = "report.html"

SUMMARY_FILE = "summary.json"
MARKDOWN_FILE = "summary.md"
COMPARISONS_FILE = "comparisons.json"
LEAK_FILE = "leak.json"


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write beside and rename. What is undefined has to be ``None``: NaN is no JSON."""
    write_atomically(file, json.dumps(content, indent=2, allow_nan=False) + "\n")
