"""What a run and a registered version keep of a validation: metrics, the report, and a line of the version's card."""

import json
from collections.abc import Mapping
from typing import Any

from leadwise.evaluation.bootstrap import Estimate, finite
from leadwise.registry.external_validation import Validated, variant
from leadwise.registry.model_card import LONGEST_DESCRIPTION

TAG = "elsewhere."
"""``elsewhere.DATASET.VARIANT``, such as ``elsewhere.ludb.strict``: what a version reached there, as JSON."""
HEADING = "### Elsewhere"
METRIC_PREFIX = "validate/"


def log_validation(validated: Validated) -> None:
    """Log figures, files and the recordings' digest to the active run."""
    import mlflow

    from leadwise.stage import log_folder, log_store

    scored, evaluation = validated.scored, validated.evaluation
    log_store(
        {
            "source": str(scored.source),
            "dataset": scored.cohort.name,
            "digest": scored.digest,
            "release": "unknown",
            "simulated": not scored.cohort.about_patients,
        },
        "evaluation",
    )
    mlflow.set_tags(
        {
            "model": validated.model_name,
            "validated.dataset": scored.cohort.name,
            "validated.variant": variant(scored.cohort, scored.without),
            "validated.policy": scored.policy_name,
            "validated.verdict": evaluation.verdict.name,
        }
    )
    mlflow.log_metrics(evaluation.logged_metrics(f"{METRIC_PREFIX}{scored.cohort.name}/"))
    log_folder(validated.folder)


def remember(validated: Validated) -> None:
    """Tag the registered version with what it reached, and its description; nothing for other models."""
    import mlflow

    registered, scored = validated.registered, validated.scored
    if registered is None:
        return
    run = mlflow.active_run()
    reached = summary(validated) | {"run_id": run.info.run_id if run else None}
    key = f"{TAG}{scored.cohort.name}.{variant(scored.cohort, scored.without)}"
    client = mlflow.MlflowClient()
    client.set_model_version_tag(registered.name, registered.version, key, json.dumps(reached))
    version = client.get_model_version(registered.name, registered.version)
    described = with_elsewhere(version.description or "", version.tags | {key: json.dumps(reached)})
    client.update_model_version(registered.name, registered.version, description=described)


def summary(validated: Validated) -> dict[str, Any]:
    """The few figures of a validation that a version keeps."""
    found = validated.evaluation
    return {
        "records": found.records,
        "digest": validated.scored.digest[:12],
        "classes": found.counted,
        "macro_auroc": _told(found.metrics.get("macro_auroc")),
        "ece": _told(found.metrics.get("ece")),
        "verdict": found.verdict.name,
    }


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
    for key in sorted(name for name in tags if name.startswith(TAG)):
        reached = json.loads(tags[key])
        dataset, _, chosen = key.removeprefix(TAG).partition(".")
        classes = ", ".join(reached["classes"]) or "none has enough"
        cells = (f"{dataset}, {chosen}", f"{reached['records']:,}", classes, _cell(reached["macro_auroc"]),
                 _cell(reached["ece"]), reached["verdict"].replace("_", " "), f"`{reached['digest']}`")  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |")
    heads = "| dataset, labels | recordings | classes | macro AUROC | calibration error | verdict | digest |"
    return "\n".join([HEADING, "", heads, "|---|--:|---|---|---|---|---|", *rows])


def _told(found: Estimate | None) -> list[float | None] | None:
    return None if found is None else [finite(found.value), *found.interval.bounds()]


def _cell(found: list[float | None] | None) -> str:
    if found is None or found[0] is None:
        return "n/a"
    value, low, high = found
    return f"{value:.3f}" + ("" if low is None or high is None else f" [{low:.3f}, {high:.3f}]")
