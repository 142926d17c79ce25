"""Write the files that repeat what another file says: conda.yaml, pages of docs/, deploy/.

``leadwise.config`` describes the parameters, ``requirements.lock`` holds the versions,
``src/leadwise/datasets/checks/suites`` the checks. ``make files`` writes the files from them; ``--check``
only compares, and ends with status 1 if one of them is out of date.
"""

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import yaml

from deployment_files import dockerfile, page_packages, scorer_packages, tracking_packages
from leadwise.config import ENTRY_POINTS, PROJECT_ROOT, Parameters, section_fields
from leadwise.datasets.checks.validation import CRITICAL, SUITES, read_suite
from leadwise.datasets.releases import RELEASES

NOTICE = "Written by scripts/project_files.py from {sources}: change those, then run `make files`."

PYTHON_VERSION = "3.11.7"
"""Down to the patch: for a plain 3.11, MLflow's virtualenv manager has pyenv look for the newest one and build it."""

PIP_VERSION = "25.3"

SUMMARIES: Mapping[str, str] = {
    "main": "The whole pipeline: the other entry points as nested runs.",
    "simulate": "Write a simulated PTB-XL tree.",
    "ingest": "Read, check and store a PTB-XL tree.",
    "tune": "Search the hyperparameters of each model.",
    "train": "Fit the models; folds 1-8 train, fold 9 selects.",
    "evaluate": "Read fold 10 once per model.",
    "register": "Package the better fusion model, register it, and make it the champion if it passes the gate.",
    "rollback": "Give the alias champion back to the version that had it before.",
    "score": "Score a folder or table of recordings to a Parquet table of answers.",
    "validate": "How well a model does on another hospital's recordings.",
    "recalibrate": "A version for one site: fitted on half of its patients, judged on the others.",
    "app": "Open the page, until it is stopped.",
}


def conda_environment() -> str:
    """conda.yaml: the interpreter, and every pin of the lock in its ``pip:`` part.

    MLflow names an environment by the hash of this text, so the pins themselves stand here: behind a reference to the
    lock, an environment built from an older lock would be used again.
    """
    lock = (PROJECT_ROOT / "requirements.lock").read_text(encoding="utf-8")
    content = {
        "name": "leadwise",
        "channels": ["conda-forge", "nodefaults"],
        "dependencies": [f"python={PYTHON_VERSION}", f"pip={PIP_VERSION}", {"pip": list(pins(lock))}],
    }
    notice = NOTICE.format(sources="requirements.lock")
    return f"# {notice}\n" + yaml.safe_dump(content, sort_keys=False, width=120)


def parameter_table() -> str:
    """docs/parameters.md: every parameter with its default, what it may be, and who takes it."""
    defaults = Parameters().model_dump(mode="json", by_alias=True)
    lines = [
        "# Parameters",
        "",
        f"<!-- {NOTICE.format(sources='src/leadwise/config.py')} -->",
        "",
        "A parameter has one name everywhere: `learning-rate` in `mlflow run . -P learning-rate=0.01`, in"
        " `python pipelines/train.py --learning-rate 0.01`, and in its section of `pipelines/params.yaml`, where a"
        " project keeps what it sets for itself. What the gate asks of the figures stands with each dataset"
        " ([promotion](promotion.md)).",
        "",
        "| entry point | takes the parameters of | does |",
        "|---|---|---|",
    ]
    for entry_point in ENTRY_POINTS:
        keys = ", ".join(f"`{section}`" for section in sections(entry_point))
        lines.append(f"| `{entry_point}` | {keys} | {SUMMARIES[entry_point]} |")
    for section, schemas in section_schemas().items():
        lines += ["", f"## {section}", "", "| parameter | default | allowed | meaning |", "|---|---|---|---|"]
        for name, schema in schemas.items():
            default = yaml.safe_dump(defaults[section][name], default_flow_style=True).removesuffix("...\n").strip()
            cells = f"`{name}`", f"`{default}`", allowed(schema), " ".join(schema["description"].split())
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def validation_page() -> str:
    """docs/validation.md: every check with what it asks for, whether it is critical, and why."""
    lines = [
        "# Validation",
        "",
        f"<!-- {NOTICE.format(sources='src/leadwise/datasets/checks/suites/*.yaml')} -->",
        "",
        "What [ingestion](ingestion.md) checks before anything is trained. A **critical** check that fails stops the"
        " pipeline with exit status 1: nothing is written, the message lists each with counts and examples, and the"
        " report lies in `validation-failed/` beside the store. A warning is counted, listed with its records, and"
        " logged.",
        "",
        "The report is the folder `validation/` of the store and of the run's artifacts: `summary.html` (one page),"
        " `data_docs/` (a page per suite), `validation.json` (every outcome), `flagged.csv` (the rows that break a"
        " check, 1,000 of each at most) and `signals.parquet` (what was measured in each recording, see"
        " [signal quality](signal-quality.md)). The run's metrics `ingest/<suite>/<check>` count the rows that do not"
        " fit, so that two ingestions can be compared.",
        "",
        "The last two suites check other hospitals' recordings before a model is scored on them: see"
        " [external data](external-data.md).",
        "",
    ]
    release = "1.0.3"
    share = Parameters().ingest.max_unreadable_share
    for suite in (read_suite(name, release, RELEASES[release], share) for name in SUITES):
        lines += [f"## {suite.title}", "", suite.about, "", "| expected | | why |", "|---|---|---|"]
        for check in suite.checks.values():
            severity = f"**{check.severity}**" if check.severity == CRITICAL else check.severity
            lines.append(f"| {check.says} | {severity} | {check.why} |")
        lines.append("")
    return "\n".join(lines)


def deployment(write: Callable[[str], str]) -> Callable[[], str]:
    """A file of deploy/, as a function without arguments."""
    return lambda: write(NOTICE.format(sources="scripts/deployment_files.py and leadwise.registry.package"))


def pins(lock: str) -> Iterator[str]:
    """The requirements of a lock file, each with its marker and without its hashes."""
    for line in lock.splitlines():
        if line and not line[0].isspace() and not line.startswith("#"):
            yield line.removesuffix("\\").strip()


def sections(entry_point: str) -> list[str]:
    """The sections whose parameters an entry point takes."""
    return list(dict.fromkeys(section for section, _, _ in section_fields(entry_point).values()))


def section_schemas() -> dict[str, dict[str, dict[str, Any]]]:
    """Section -> parameter -> its JSON schema, in the order of the configuration."""
    schema = Parameters.model_json_schema(by_alias=True)
    return {
        section: schema["$defs"][reference["$ref"].rsplit("/", 1)[-1]]["properties"]
        for section, reference in schema["properties"].items()
    }


def allowed(schema: Mapping[str, Any]) -> str:
    """What a value may be, in words."""
    if choices := _choices(schema):
        return " or ".join(", ".join(choices).rsplit(", ", 1))
    if schema.get("type") == "boolean":
        return "true or false"
    if schema.get("type") in ("integer", "number"):
        words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
        bounds = " and ".join(f"{word} {schema[key]:.10g}" for key, word in words.items() if key in schema)
        return ", ".join(filter(None, ["a whole number" if schema["type"] == "integer" else "a number", bounds]))
    if schema.get("format") == "path":
        return "a path"
    return f"text that matches `{schema['pattern']}`" if "pattern" in schema else "text"


def _choices(schema: Mapping[str, Any]) -> list[str]:
    found = [str(schema["const"])] if "const" in schema else [str(choice) for choice in schema.get("enum", ())]
    return found + [choice for part in schema.get("anyOf", ()) for choice in _choices(part)]


GENERATED = {
    "conda.yaml": conda_environment,
    "docs/parameters.md": parameter_table,
    "docs/validation.md": validation_page,
    "deploy/Dockerfile": deployment(partial(dockerfile, PYTHON_VERSION)),
    "deploy/scorer.in": deployment(scorer_packages),
    "deploy/tracking.in": deployment(tracking_packages),
    "deploy/page.in": deployment(page_packages),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=re.split(r"\n\n", __doc__ or "")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 if a file is out of date")
    check = parser.parse_args().check
    outdated = []
    for name, write in GENERATED.items():
        file, content = PROJECT_ROOT / name, write()
        if file.exists() and file.read_text(encoding="utf-8") == content:
            continue
        outdated.append(name)
        if not check:
            file.parent.mkdir(exist_ok=True)
            file.write_text(content, encoding="utf-8")
    if check and outdated:
        sys.exit(f"out of date: {', '.join(outdated)}; run `make files`")
    print("\n".join(f"written: {name}" for name in outdated) or "up to date")


if __name__ == "__main__":
    main()
