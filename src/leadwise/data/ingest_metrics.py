"""What an ingestion says in numbers, tags and lines, read from its manifest and its report.

A run that found the store unchanged reads the same files, so that it says the same.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leadwise.data.expectations import CRITICAL
from leadwise.data.outcomes import Outcome

RESULTS_FILE = "validation.json"


def manifest_metrics(manifest: Mapping[str, Any]) -> dict[str, float]:
    """Records by class and split, repairs, records left out, and files that are not as their checksum list says."""
    groups = {
        "records": {"all": manifest["records"], **manifest["counts"], **manifest["splits"]},
        "repairs": manifest["repairs"],
        "left_out": {name: len(manifest[name]) for name in ("unreadable", "missing_waveforms")},
        "inputs": {
            "files": manifest["inputs"]["files"],
            "not_listed": manifest["inputs"]["not_listed"],
            "not_as_listed": len(manifest["inputs"]["not_as_listed"]),
        },
    }
    counts = {f"ingest/{group}/{name}": float(count) for group, of in groups.items() for name, count in of.items()}
    return {"ingest/patients": float(manifest["patients"])} | counts


def validation_metrics(folder: Path) -> dict[str, float]:
    """What a report says in numbers, named so that two ingestions can be compared.

    ``ingest/expectations/<suite>/passed`` counts checks, ``ingest/<suite>/<check>`` is the rows that do not fit or the
    number that was found, ``ingest/measures/<measure>/<median, p99 or max>`` describes all recordings.
    """
    content = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))
    metrics = {f"ingest/expectations/{name}": float(count) for name, count in content["tally"].items()}
    for suite, tally in content["suites"].items():
        counts = {name: count for name, count in tally.items() if name != "title"}
        metrics |= {f"ingest/expectations/{suite}/{name}": float(count) for name, count in counts.items()}
    for outcome in content["outcomes"]:
        if outcome["value"] is not None:
            metrics[f"ingest/{outcome['suite']}/{outcome['check']}"] = outcome["value"]
    for measure, values in content["measures"].items():
        metrics |= {f"ingest/measures/{measure}/{label}": value for label, value in values.items()}
    return metrics


def validation_tags(folder: Path) -> dict[str, str]:
    """The verdict of a report: ``stopped``, ``warnings`` or ``clean``, and the checks that failed."""
    content = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))
    failed = [f"{one['suite']}/{one['check']}" for one in content["outcomes"] if not one["success"]]
    verdict = "stopped" if content["tally"]["failed_critical"] else "warnings" if failed else "clean"
    return {"validation.verdict": verdict, "validation.failed": ", ".join(failed)[:4000] or "none"}


def validation_warnings(folder: Path) -> list[str]:
    """The warnings of a report, one line each."""
    content = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))
    outcomes = [Outcome(**one) for one in content["outcomes"] if not one["success"] and one["severity"] != CRITICAL]
    return [str(outcome) for outcome in outcomes]
