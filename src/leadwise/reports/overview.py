"""All models of a workspace side by side: as JSON, Markdown and text, as a page, and as summaries of runs."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from leadwise.atomic import write_atomically
from leadwise.contract import SUPERCLASSES, TEST_FOLD, FeatureSet, LeadwiseError
from leadwise.datasets.store import Store
from leadwise.evaluation import (
    COMPARISONS_FILE,
    FIGURES_FOLDER,
    LEAK_FILE,
    MARKDOWN_FILE,
    METRICS_FILE,
    REPORT_FILE,
    ROBUSTNESS_FILE,
    SUMMARY_FILE,
    write_json,
)
from leadwise.evaluation.bootstrap import patient_weights
from leadwise.evaluation.comparison import (
    COMPARED,
    STADIUM_COLUMNS,
    Comparison,
    StadiumLeak,
    above_zero,
    comparable,
    compare_all,
    find_evaluated,
    published_line,
    stadium_alone,
)
from leadwise.evaluation.metrics import FLOOR, Named, headline_names, metric_names
from leadwise.models.spec import MODELS
from leadwise.reports.breakdown_figures import robustness_figure
from leadwise.reports.report_page import (
    CITATION,
    SIMULATED,
    Cell,
    Page,
    Part,
    Row,
    Section,
    Table,
    change,
    data_name,
    duration,
    estimate,
    in_words,
    number,
    picture,
)

ROBUSTNESS_FIGURE = "robustness.png"
LEAK_METRICS = ("macro_auroc", "auroc/MI", "binary_accuracy")

PROTOCOLS: Mapping[str, str] = {"test": "all rows", "labelled": "labelled rows"}
"""Key in ``summary.json`` -> what it is called: all rows of fold 10 is the headline."""

_TEXT_COLUMNS = ("features", "model", "run")


def write_summary(folder: Path) -> dict[str, Any]:
    """Collect the evaluations of one feature set and write ``summary.json`` and ``summary.md`` beside them.

    Evaluations on other data than the newest one's are left out: their figures cannot be compared.

    Args:
        folder: ``<workspace>/evaluation/<feature set>``, with a folder per evaluated model.

    Raises:
        LeadwiseError: no model has been evaluated there.
    """
    files = [folder / name / METRICS_FILE for name in MODELS if (folder / name / METRICS_FILE).is_file()]
    if not files:
        raise LeadwiseError(f"{folder}: received no evaluated model; run the evaluate stage first")
    newest = json.loads(max(files, key=lambda file: file.stat().st_mtime).read_text(encoding="utf-8"))
    evaluations = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    summary = {key: newest[key] for key in ("feature_set", "digest", "simulated", "rows", "bootstrap")}
    summary["models"] = [_model(one) for one in evaluations if one["digest"] == newest["digest"]]
    write_json(folder / SUMMARY_FILE, summary)
    write_atomically(folder / MARKDOWN_FILE, results_markdown({summary["feature_set"]: folder / SUMMARY_FILE}))
    return summary


def _model(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("model", "count_params", "seconds", "epochs", "best_epoch", "run_id", "trained_by")
    row: dict[str, Any] = {key: evaluation[key] for key in keys}
    for protocol, prefix in (("test", "test/"), ("labelled", "test/labelled/")):
        row[protocol] = {
            name: {
                "value": evaluation["metrics"].get(prefix + name),
                "interval": evaluation["intervals"].get(prefix + name, [None, None]),
            }
            for name in _compared()
        }
    return row


def _compared() -> dict[str, Named]:
    """The means that stand side by side, and the AUROC of each class."""
    known = metric_names()
    return headline_names() | {name: known[name] for name in (FLOOR, *(f"auroc/{label}" for label in SUPERCLASSES))}


def _side_by_side(summary: Mapping[str, Any], digits: int) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Head and rows, one a model on all rows of fold 10; AUROCs of classes have so many digits."""
    rows = [
        (
            model["model"],
            _with_interval(model["test"]["macro_auroc"]),
            *(number(model["test"][f"auroc/{name}"]["value"], digits) for name in SUPERCLASSES),
            number(model["test"]["binary_accuracy"]["value"]),
            duration(model["seconds"]),
            f"{model['count_params']:,}",
        )
        for model in summary["models"]
    ]
    return ("model", "macro AUROC", *SUPERCLASSES, "accuracy", "trained in", "parameters"), rows


def terminal_table(summary: Mapping[str, Any]) -> str:
    """The models of one ``summary.json`` as aligned text; ``summary.md`` says more."""
    titles, rows = _side_by_side(summary, 2)
    widths = [max(len(cell) for cell in column) for column in zip(titles, *rows, strict=True)]
    head, *body = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in (titles, *rows))
    floor = number(summary["models"][0]["test"][FLOOR]["value"])
    note = (
        f"In brackets: 95 % intervals by patient; the columns of classes: AUROC; accuracy at 0.5, of never predicting "
        f"anything {floor}."
    )
    title = f"{summary['feature_set'].capitalize()} features, {_rows(summary, 'test')}"
    return "\n".join([title, head, "-" * len(head), *body, note, *([SIMULATED] if summary["simulated"] else [])])


def results_markdown(summaries: Mapping[str, Path]) -> str:
    """Two Markdown tables, all rows and labelled rows, of every model and feature set.

    Args:
        summaries: name of a feature set -> its ``summary.json``, in the order of the rows.

    Raises:
        LeadwiseError: a file is absent.
    """
    loaded = []
    for feature_set, file in summaries.items():
        if not file.is_file():
            raise LeadwiseError(f"{file}: no summary there; run the evaluate stage with feature-set={feature_set}")
        loaded.append(json.loads(file.read_text(encoding="utf-8")) | {"feature_set": feature_set})
    parts = []
    for protocol, name in PROTOCOLS.items():
        head, *rows = _table(loaded, protocol)
        rule = "|" + "|".join("---" if cell in _TEXT_COLUMNS else "---:" for cell in head) + "|"
        lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
        parts += [f"**{name.capitalize()}**: {_rows(loaded[0], protocol)}.", "\n".join([lines[0], rule, *lines[1:]])]
    parts.append(
        f"In brackets: 95 % intervals, {loaded[0]['bootstrap']['replicates']:,} bootstrap replicates by patient. "
        'Decisions at 0.5; "no information" is the accuracy of never predicting anything. '
        f"Data {loaded[0]['digest'][:12]}."
    )
    if any(summary["simulated"] for summary in loaded):
        parts.append(f"**{SIMULATED}**")
    return "\n\n".join(parts) + "\n"


def _table(summaries: Sequence[Mapping[str, Any]], protocol: str) -> list[list[str]]:
    """Head and rows, one a model; what it cost stands in the first table only."""
    costs = ("trained in", "parameters", "run") if protocol == "test" else ()
    rows = [["features", "model", "macro AUROC", "accuracy", "no information", "macro F1", "subset accuracy", *costs]]
    for summary in summaries:
        for model in summary["models"]:
            found = model[protocol]
            names = ("macro_auroc", "binary_accuracy", "macro_f1", "subset_accuracy")
            cells = [_with_interval(found[name]) for name in names]
            cells.insert(2, number(found[FLOOR]["value"]))
            run = f"`{model['run_id'][:8]}`" if model["run_id"] else ""
            cost = [duration(model["seconds"]), f"{model['count_params']:,}", run] if costs else []
            rows.append([summary["feature_set"], f"`{model['model']}`", *cells, *cost])
    return rows


def _rows(summary: Mapping[str, Any], protocol: str) -> str:
    rows = summary["rows"]
    if protocol == "labelled":
        return f"the {rows['test_labelled']:,} records of fold {TEST_FOLD} that have a superclass"
    return f"the {rows['test']:,} records of fold {TEST_FOLD} ({rows['test_patients']:,} patients)"


def _with_interval(metric: Mapping[str, Any]) -> str:
    low, high = metric["interval"]
    return f"{number(metric['value'])} [{number(low)}, {number(high)}]"


def write_overview(
    workspace: Path,
    feature_set: FeatureSet,
    store: Store,
    *,
    compare_with: Path | None,
    bootstrap: int,
    seed: int,
) -> dict[str, Any]:
    """Write summary, comparisons, leak and ``report.html`` into ``<workspace>/evaluation/<feature set>``.

    Args:
        workspace: whose models are laid side by side.
        feature_set: of the models that the report is about; those of the other one, too, are compared with them.
        store: the data that they were evaluated on.
        compare_with: another workspace whose evaluations are compared as well.
        bootstrap: replicates behind the intervals.
        seed: of the bootstrap.

    Returns:
        Content of ``summary.json``.

    Raises:
        LeadwiseError: no model has been evaluated, or an evaluation is not whole.
    """
    folder = workspace / "evaluation" / feature_set
    summary = write_summary(folder)
    others = [compare_with] if compare_with else []
    comparisons = compare_all(find_evaluated(workspace, *others), replicates=bootstrap, seed=seed)
    records = store.records.iloc[store.rows("test")]
    stadium = stadium_alone(records, patient_weights(records["patient_id"].to_numpy(), bootstrap, seed))
    write_json(
        folder / COMPARISONS_FILE, {"bootstrap": bootstrap, "seed": seed, "pairs": [c.to_dict() for c in comparisons]}
    )
    leaked = [pair.to_dict() for pair in _leaking_pairs(comparisons)]
    write_json(folder / LEAK_FILE, {"stadium_alone": stadium.to_dict(), "clinical_and_original": leaked})
    _draw_robustness(folder, [model["model"] for model in summary["models"]])
    page = _page(summary, store.manifest, folder, _comparisons(comparisons, feature_set), _leak(comparisons, stadium))
    page.write(folder / REPORT_FILE)
    return summary


def _draw_robustness(folder: Path, models: Sequence[str]) -> None:
    """One figure of all models that were tried with the same corruptions; none if they were not."""
    (folder / ROBUSTNESS_FIGURE).unlink(missing_ok=True)
    files = {model: folder / model / ROBUSTNESS_FILE for model in models}
    found = {model: json.loads(file.read_text(encoding="utf-8")) for model, file in files.items() if file.is_file()}
    try:
        if found:
            robustness_figure(found).savefig(folder / ROBUSTNESS_FIGURE)
    except LeadwiseError as error:
        print(f"no common figure of robustness: {error}")


def _leaking_pairs(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same model with clinical and with original features."""
    return [
        pair
        for pair in comparisons
        if {pair.first.feature_set, pair.second.feature_set} == {"clinical", "original"}
        and pair.first.model == pair.second.model
    ]


def _page(
    summary: Mapping[str, Any], manifest: Mapping[str, Any], folder: Path, comparisons: list[Part], leak: list[Part]
) -> Page:
    rows, simulated = summary["rows"], bool(summary["simulated"])
    drawn = (folder / ROBUSTNESS_FIGURE).is_file()
    says = "Macro AUROC against the strength of each corruption"
    return Page(
        title=f"The models on fold {TEST_FOLD} of {data_name(simulated, manifest['release'])}",
        subtitle=(
            f"{summary['feature_set'].capitalize()} features; {rows['test']:,} records of {rows['test_patients']:,} "
            "patients. Each model has a report of its own in the folder of its name."
        ),
        simulated=simulated,
        tiles=_tiles(summary),
        published=published_line() if comparable(manifest, rows) else "",
        sections=[
            Section("models", "Side by side", _models(summary["models"])),
            Section("comparisons", "Paired comparisons", comparisons),
            Section("leak", "What a leaking input is worth", leak),
            Section("robustness", "Robustness", [[picture(folder / ROBUSTNESS_FIGURE, says)]] if drawn else []),
        ],
        footer=[
            f"Data {summary['digest'][:12]}; bootstrap of {summary['bootstrap']['replicates']:,} replicates over "
            f"patients, seed {summary['bootstrap']['seed']}. The figures stand in {SUMMARY_FILE}, {COMPARISONS_FILE} "
            f"and {LEAK_FILE} beside this page.",
            CITATION,
        ],
    )


def _models(models: Sequence[Mapping[str, Any]]) -> list[Part]:
    heads = ("metric", *(model["model"] for model in models))
    parts: list[Part] = []
    for protocol, caption in (("test", "All records"), ("labelled", "Records with a label")):
        rows: list[Row] = [
            [of.title, *(estimate(**model[protocol][name]) for model in models)] for name, of in _compared().items()
        ]
        parts.append(Table(heads, rows, caption, "compact"))
    cost = [
        [
            model["model"],
            f"{model['count_params']:,}",
            duration(model["seconds"]),
            f"{model['best_epoch']} of {model['epochs']}",
        ]
        for model in models
    ]
    return [*parts, Table(("model", "parameters", "trained in", "best epoch"), cost)]


def _comparisons(comparisons: Sequence[Comparison], feature_set: str) -> list[Part]:
    pairs = [pair for pair in comparisons if pair.first.feature_set == pair.second.feature_set == feature_set]
    if not pairs:
        return []
    says = (
        "First model minus second on the same records, with the same patients drawn for both, and the share of draws "
        "in which the first has more. Accuracy at 0.5, F1 at the chosen thresholds."
    )
    return [says, _pair_table(pairs, COMPARED)]


def _leak(comparisons: Sequence[Comparison], found: StadiumLeak) -> list[Part]:
    says = (
        f"PTB-XL's {' and '.join(STADIUM_COLUMNS)} hold a stage of infarction, written down where an infarction was "
        f"diagnosed. That one of them is filled in, whatever it says, tells infarction with an AUROC of "
        f"{in_words(found.auroc)}, without any recording: {found.present:,} of {found.records:,} records have one, "
        f"{found.present_positives:,} of these an infarction, of {found.positives:,} in all. A model with these inputs "
        "(feature set original) is never registered."
    )
    if pairs := _leaking_pairs(comparisons):
        return [says, _pair_table(pairs, LEAK_METRICS)]
    return [says, "No model has been evaluated with both feature sets here: feature-set=original trains one."]


def _pair_table(pairs: Sequence[Comparison], metrics: Sequence[str]) -> Table:
    rows: list[Row] = []
    for pair in pairs:
        shares = [above_zero(pair.differences[name]) for name in metrics]
        notes = ["" if math.isnan(share) else f"more in {share:.1%}" for share in shares]
        cells = [change(pair.differences[name], 4, note=note) for name, note in zip(metrics, notes, strict=True)]
        rows.append([f"{pair.first.name} − {pair.second.name}", *cells])
    names = metric_names()
    return Table(("models", *(names[name].title for name in metrics)), rows)


def _tiles(summary: Mapping[str, Any]) -> dict[str, Cell]:
    return {one["model"]: estimate(**one["test"]["macro_auroc"], note="macro AUROC") for one in summary["models"]}


def _tested_on(summary: Mapping[str, Any]) -> dict[str, str]:
    rows = summary["rows"]
    tested = f"{rows['test']:,} of {rows['test_patients']:,} patients"
    return {f"records (fold {TEST_FOLD})": tested, "data": summary["digest"][:12]}


def overview_summary(summary: Mapping[str, Any], release: str, folder: Path) -> Page:
    """The summary of the evaluate stage.

    Args:
        summary: content of ``summary.json``.
        release: of the data.
        folder: ``<workspace>/evaluation/<feature set>``.
    """
    models = summary["models"]
    all_records, *_, cost = _models(models)
    best = max(models, key=lambda model: model["test"]["macro_auroc"]["value"] or 0)["model"]
    return Page(
        title="The models side by side",
        subtitle=f"Fold {TEST_FOLD} of {data_name(summary['simulated'], release)}, {summary['feature_set']} features.",
        simulated=bool(summary["simulated"]),
        tiles=_tiles(summary),
        inputs={"models": ", ".join(model["model"] for model in models), **_tested_on(summary)},
        outputs={
            "highest macro AUROC": best,
            "accuracy of all-negative": number(models[0]["test"][FLOOR]["value"]),
        },
        parts=[
            all_records,
            cost,
            [picture(folder / best / FIGURES_FOLDER / "roc_curves.png", f"ROC curves of {best}")],
        ],
        footer=[f"Paired comparisons, and what a leaking input is worth: {REPORT_FILE} of this run."],
    )


def pipeline_summary(summary: Mapping[str, Any], release: str, seconds: Mapping[str, float], verdict: str) -> Page:
    """The summary of a whole pipeline.

    Args:
        summary: content of ``summary.json``.
        release: of the data.
        seconds: by stage.
        verdict: of the gate; empty: nothing was registered.
    """
    return Page(
        title="The whole pipeline",
        subtitle=f"{data_name(summary['simulated'], release)}, {summary['feature_set']} features. {verdict}",
        simulated=bool(summary["simulated"]),
        tiles=_tiles(summary),
        inputs=_tested_on(summary),
        outputs={stage: duration(spent) for stage, spent in seconds.items()},
        parts=[Table(*_side_by_side(summary, 3))],
        footer=[f"Figures and comparisons: {REPORT_FILE} of the run evaluate; each stage has a summary of its own."],
    )
