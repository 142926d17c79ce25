"""The report over all models of a workspace: side by side, in paired comparisons, and what a leaking input is worth."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leadwise.contract import TEST_FOLD, FeatureSet
from leadwise.datasets.store import Store
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
from leadwise.evaluation.files import (
    COMPARISONS_FILE,
    LEAK_FILE,
    REPORT_FILE,
    ROBUSTNESS_FILE,
    SUMMARY_FILE,
    write_json,
)
from leadwise.evaluation.metric_registry import FLOOR, headline_names, metric_names
from leadwise.evaluation.robustness import RobustnessError, read_robustness
from leadwise.reports.breakdown_figures import robustness_figure
from leadwise.reports.report_page import (
    Cell,
    Page,
    Part,
    Pictures,
    Row,
    Section,
    Table,
    Text,
    Tile,
    duration,
    estimate,
    picture,
    signed,
    write_page,
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
    write_page(_page(overview, store.manifest, folder), folder / REPORT_FILE)
    return overview


def _draw_robustness(folder: Path, models: Sequence[str]) -> None:
    """One figure of all models that were tried with the same disturbances; none if they were not."""
    (folder / ROBUSTNESS_FIGURE).unlink(missing_ok=True)
    try:
        measured = {
            model: read_robustness(folder / model) for model in models if (folder / model / ROBUSTNESS_FILE).is_file()
        }
        if measured:
            robustness_figure(measured).savefig(folder / ROBUSTNESS_FIGURE)
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
    release = "simulated data" if simulated else f"PTB-XL {manifest['release']}"
    sections = [
        _models_section(summary),
        _comparisons_section(overview, summary["feature_set"]),
        _leak_section(overview),
        _robustness_section(folder),
    ]
    return Page(
        title=f"The models on fold {TEST_FOLD} of {release}",
        subtitle=(
            f"{summary['feature_set'].capitalize()} features; {rows['test']:,} records of {rows['test_patients']:,} "
            "patients. Each model has a report of its own in the folder of its name."
        ),
        simulated=simulated,
        tiles=[
            Tile(model["model"], _estimate(model["test"]["macro_auroc"]), "macro AUROC") for model in summary["models"]
        ],
        published=published_line() if comparable(manifest, rows) else "",
        sections=[section for section in sections if section.parts],
        footer=[
            f"Data {summary['digest'][:12]}; bootstrap of {summary['bootstrap']['replicates']:,} replicates over "
            f"patients, seed {summary['bootstrap']['seed']}. The figures stand in {SUMMARY_FILE}, {COMPARISONS_FILE} "
            f"and {LEAK_FILE} beside this page.",
            "PTB-XL: Wagner et al. (2022), PhysioNet, doi:10.13026/kfzx-aw45; Wagner et al. (2020), Scientific Data "
            "7:154, doi:10.1038/s41597-020-0495-6; Goldberger et al. (2000), Circulation 101(23):e215-e220.",
        ],
    )


def _models_section(summary: Mapping[str, Any]) -> Section:
    models = summary["models"]
    named = headline_names() | {FLOOR: metric_names()[FLOOR]}
    parts: list[Part] = []
    for protocol, caption in (("test", "All records"), ("labelled", "Records with a label")):
        rows = [
            Row([Cell(of.title), *(_estimate(model[protocol][name]) for model in models)]) for name, of in named.items()
        ]
        parts.append(Table(("metric", *(model["model"] for model in models)), rows, caption, compact=True))
    cost = [
        Row(
            [
                Cell(model["model"]),
                Cell(f"{model['count_params']:,}"),
                Cell(duration(model["seconds"])),
                Cell(f"{model['best_epoch']} of {model['epochs']}"),
            ]
        )
        for model in models
    ]
    return Section("models", "Side by side", [*parts, Table(("model", "parameters", "trained in", "best epoch"), cost)])


def _comparisons_section(overview: Overview, feature_set: str) -> Section:
    pairs = [pair for pair in overview.comparisons if feature_set in (pair.first.feature_set, pair.second.feature_set)]
    pairs = [pair for pair in pairs if pair.first.feature_set == pair.second.feature_set]
    if not pairs:
        return Section("comparisons", "Paired comparisons", [])
    says = (
        "First model minus second on the same records, with the same patients drawn for both, and the share of draws "
        "in which the first has more. Accuracy at 0.5, F1 at the chosen thresholds."
    )
    return Section("comparisons", "Paired comparisons", [Text(says), _pair_table(pairs, COMPARED)])


def _leak_section(overview: Overview) -> Section:
    found = overview.stadium
    area = estimate(found.auroc, found.interval.bounds())
    says = (
        f"PTB-XL's {' and '.join(STADIUM_COLUMNS)} hold a stage of infarction, written down where an infarction was "
        f"diagnosed. That one of them is filled in, whatever it says, tells infarction with an AUROC of {area.value} "
        f"({area.interval}), without any recording: {found.present:,} of {found.records:,} records have one, "
        f"{found.present_positives:,} of these an infarction, of {found.positives:,} in all. A model with these inputs "
        "(feature set original) is never registered."
    )
    parts: list[Part] = [Text(says)]
    if pairs := _leaking_pairs(overview.comparisons):
        parts.append(_pair_table(pairs, LEAK_METRICS))
    else:
        parts.append(Text("No model has been evaluated with both feature sets here: feature-set=original trains one."))
    return Section("leak", "What a leaking input is worth", parts)


def _pair_table(pairs: Sequence[Comparison], metrics: Sequence[str]) -> Table:
    rows = []
    for pair in pairs:
        cells = []
        for name in metrics:
            found = pair.differences[name]
            low, high = found.interval.low, found.interval.high
            share = above_zero(found)
            more = "" if math.isnan(share) else f"more in {share:.1%}"
            cells.append(Cell(signed(found.value), f"{signed(low)} to {signed(high)}", more))
        rows.append(Row([Cell(f"{pair.first.name} − {pair.second.name}"), *cells]))
    return Table(("models", *(_TITLES[name] for name in metrics)), rows)


_TITLES = {
    "macro_auroc": "macro AUROC",
    "auroc/MI": "AUROC of MI",
    "binary_accuracy": "accuracy at 0.5",
    "chosen/macro_f1": "macro F1, chosen",
}


def _robustness_section(folder: Path) -> Section:
    if not (folder / ROBUSTNESS_FIGURE).is_file():
        return Section("robustness", "Robustness", [])
    shown = picture(folder / ROBUSTNESS_FIGURE, "Macro AUROC against the strength of each disturbance")
    return Section("robustness", "Robustness", [Pictures([shown])])


def _estimate(metric: Mapping[str, Any]) -> Cell:
    return estimate(metric["value"], metric["interval"])
