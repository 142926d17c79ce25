"""The report over all models of a workspace: side by side, in paired comparisons, and what a leaking input is worth."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leadwise.contract import TEST_FOLD, FeatureSet
from leadwise.datasets.store import Store
from leadwise.evaluation import (
    COMPARISONS_FILE,
    LEAK_FILE,
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
from leadwise.evaluation.metrics import FLOOR, headline_names, metric_names
from leadwise.evaluation.robustness import RobustnessError
from leadwise.reports.breakdown_figures import robustness_figure
from leadwise.reports.report_page import (
    CITATION,
    Cell,
    Page,
    Part,
    Row,
    Section,
    Table,
    data_name,
    duration,
    estimate,
    measured,
    model_tiles,
    picture,
    signed,
)
from leadwise.reports.results_table import write_summary

ROBUSTNESS_FIGURE = "robustness.png"
LEAK_METRICS = ("macro_auroc", "auroc/MI", "binary_accuracy")


@dataclass(frozen=True)
class Overview:
    """All models of one feature set.

    Attributes:
        summary: what ``summary.json`` holds.
        comparisons: every pair of models of the workspace, and those of the same name elsewhere.
        stadium: what the presence of a stage tells on its own.
    """

    summary: Mapping[str, Any]
    comparisons: Sequence[Comparison]
    stadium: StadiumLeak


def write_overview(
    workspace: Path,
    feature_set: FeatureSet,
    store: Store,
    *,
    compare_with: Path | None,
    bootstrap: int,
    seed: int,
) -> Overview:
    """Write summary, comparisons, leak and ``report.html`` into ``<workspace>/evaluation/<feature set>``.

    Args:
        workspace: whose models are laid side by side.
        feature_set: of the models that the report is about; those of the other one, too, are compared with them.
        store: the data that they were evaluated on.
        compare_with: another workspace whose evaluations are compared as well.
        bootstrap: replicates behind the intervals.
        seed: of the bootstrap.

    Raises:
        EvaluationError: no model has been evaluated, or an evaluation is not whole.
    """
    folder = workspace / "evaluation" / feature_set
    summary = write_summary(folder)
    others = [compare_with] if compare_with else []
    comparisons = compare_all(find_evaluated(workspace, *others), replicates=bootstrap, seed=seed)
    records = store.records.iloc[store.rows("test")]
    stadium = stadium_alone(records, patient_weights(records["patient_id"].to_numpy(), bootstrap, seed))
    overview = Overview(summary, comparisons, stadium)
    write_json(
        folder / COMPARISONS_FILE, {"bootstrap": bootstrap, "seed": seed, "pairs": [c.to_dict() for c in comparisons]}
    )
    leaked = [pair.to_dict() for pair in _leaking_pairs(comparisons)]
    write_json(folder / LEAK_FILE, {"stadium_alone": stadium.to_dict(), "clinical_and_original": leaked})
    _draw_robustness(folder, [model["model"] for model in summary["models"]])
    _page(overview, store.manifest, folder).write(folder / REPORT_FILE)
    return overview


def _draw_robustness(folder: Path, models: Sequence[str]) -> None:
    """One figure of all models that were tried with the same disturbances; none if they were not."""
    (folder / ROBUSTNESS_FIGURE).unlink(missing_ok=True)
    files = {model: folder / model / ROBUSTNESS_FILE for model in models}
    found = {model: json.loads(file.read_text(encoding="utf-8")) for model, file in files.items() if file.is_file()}
    try:
        if found:
            robustness_figure(found).savefig(folder / ROBUSTNESS_FIGURE)
    except RobustnessError as error:
        print(f"no common figure of robustness: {error}")


def _leaking_pairs(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same model with clinical and with original features."""
    return [
        pair
        for pair in comparisons
        if {pair.first.feature_set, pair.second.feature_set} == {"clinical", "original"}
        and pair.first.model == pair.second.model
    ]


def _page(overview: Overview, manifest: Mapping[str, Any], folder: Path) -> Page:
    summary = overview.summary
    rows, simulated = summary["rows"], bool(summary["simulated"])
    drawn = (folder / ROBUSTNESS_FIGURE).is_file()
    says = "Macro AUROC against the strength of each disturbance"
    return Page(
        title=f"The models on fold {TEST_FOLD} of {data_name(simulated, manifest['release'])}",
        subtitle=(
            f"{summary['feature_set'].capitalize()} features; {rows['test']:,} records of {rows['test_patients']:,} "
            "patients. Each model has a report of its own in the folder of its name."
        ),
        simulated=simulated,
        tiles=model_tiles(summary),
        published=published_line() if comparable(manifest, rows) else "",
        sections=[
            Section("models", "Side by side", _models(summary["models"])),
            Section("comparisons", "Paired comparisons", _comparisons(overview, summary["feature_set"])),
            Section("leak", "What a leaking input is worth", _leak(overview)),
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
    named = headline_names() | {FLOOR: metric_names()[FLOOR]}
    heads = ("metric", *(model["model"] for model in models))
    parts: list[Part] = []
    for protocol, caption in (("test", "All records"), ("labelled", "Records with a label")):
        rows: list[Row] = [
            [of.title, *(estimate(**model[protocol][name]) for model in models)] for name, of in named.items()
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


def _comparisons(overview: Overview, feature_set: str) -> list[Part]:
    pairs = [pair for pair in overview.comparisons if pair.first.feature_set == pair.second.feature_set == feature_set]
    if not pairs:
        return []
    says = (
        "First model minus second on the same records, with the same patients drawn for both, and the share of draws "
        "in which the first has more. Accuracy at 0.5, F1 at the chosen thresholds."
    )
    return [says, _pair_table(pairs, COMPARED)]


def _leak(overview: Overview) -> list[Part]:
    found = overview.stadium
    area = measured(found.auroc)
    says = (
        f"PTB-XL's {' and '.join(STADIUM_COLUMNS)} hold a stage of infarction, written down where an infarction was "
        f"diagnosed. That one of them is filled in, whatever it says, tells infarction with an AUROC of {area.value} "
        f"({area.interval}), without any recording: {found.present:,} of {found.records:,} records have one, "
        f"{found.present_positives:,} of these an infarction, of {found.positives:,} in all. A model with these inputs "
        "(feature set original) is never registered."
    )
    if pairs := _leaking_pairs(overview.comparisons):
        return [says, _pair_table(pairs, LEAK_METRICS)]
    return [says, "No model has been evaluated with both feature sets here: feature-set=original trains one."]


def _pair_table(pairs: Sequence[Comparison], metrics: Sequence[str]) -> Table:
    rows: list[Row] = []
    for pair in pairs:
        cells = []
        for name in metrics:
            found, share = pair.differences[name], above_zero(pair.differences[name])
            interval = f"{signed(found.interval.low)} to {signed(found.interval.high)}"
            cells.append(Cell(signed(found.value), interval, "" if math.isnan(share) else f"more in {share:.1%}"))
        rows.append([f"{pair.first.name} − {pair.second.name}", *cells])
    return Table(("models", *(_TITLES[name] for name in metrics)), rows)


_TITLES = {
    "macro_auroc": "macro AUROC",
    "auroc/MI": "AUROC of MI",
    "binary_accuracy": "accuracy at 0.5",
    "chosen/macro_f1": "macro F1, chosen",
}
