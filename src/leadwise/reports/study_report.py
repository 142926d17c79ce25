"""A study as one page, one table and one run summary; its figures are Optuna's own."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from leadwise.atomic import temporary_folder, write_atomically
from leadwise.reports.report_page import (
    Cell,
    Page,
    Part,
    Picture,
    Row,
    Section,
    Table,
    data_name,
    duration,
    number,
    picture,
    short,
    signed,
)
from leadwise.training.study import Tuned, state_of
from leadwise.training.trial import COST, REASON

METRIC_NAMES = {"val/macro_auroc": "macro AUROC, fold 9", "val/binary_accuracy": "mean binary accuracy, fold 9"}
FEWEST = 8
"""Completed trials below which a share of the importance would be a guess."""
BETTER_PART = 0.25
"""What sets the better quarter apart from all; of so few trials, the evaluator's own tenth would be one or two."""
MOST_AXES, MOST_NAMED = 5, 8
"""Parameters that a figure has room for, the most important ones; and lines in a legend."""
DOTS = 150


def write_study(tuned: Tuned, manifest: dict[str, Any]) -> tuple[Page, list[Path]]:
    """Write the page and the table of a study beside its file for the train stage.

    Args:
        tuned: what was found.
        manifest: of the store.

    Returns:
        The page, and the files that were written: the page, and one line per trial as CSV.
    """
    page_file, table_file = tuned.file.with_suffix(".html"), tuned.file.with_suffix(".trials.csv")
    sections = [
        Section("values", "What was found", [_values(tuned)]),
        Section("figures", "Figures", list(_figures(tuned))),
        Section("trials", "Trials", [_trials(tuned)]),
    ]
    page = Page(
        title=f"Tuned: {tuned.config.model}",
        subtitle=f"{_metric(tuned)}; study {tuned.study.study_name}, at most {tuned.config.epochs} epochs a trial; "
        f"{data_name(manifest['simulated'], manifest['release'])}, {manifest['digest'][:12]}.",
        simulated=bool(manifest["simulated"]),
        tiles=_tiles(tuned),
        sections=sections,
    )
    page.write(page_file)
    write_atomically(table_file, tuned.study.trials_dataframe().to_csv(index=False))
    return page, [page_file, table_file]


def study_summary(tuned: Tuned, page: Page) -> Page:
    """What a person wants to see first of a study: the page's tiles, values and first figure."""
    return Page(
        title=page.title,
        subtitle=f"{_metric(tuned)}.",
        simulated=page.simulated,
        tiles=page.tiles,
        inputs={"study": tuned.study.study_name, "parameters searched": str(len(tuned.space.described()))},
        outputs={"best parameters": "tuned.json; train takes them with use-tuned=true"},
        parts=[_values(tuned), *page.sections[1].parts[:1]],
        footer=["Further figures and every trial: the page of the study among the artifacts."],
    )


def studies_summary(studies: Mapping[str, Mapping[str, Any]], manifest: Mapping[str, Any]) -> Page:
    """Of a tune stage; ``studies``: model -> content of its ``tuned.json``."""
    rows: list[Row] = [
        (
            model,
            number(found["value"], 4),
            number(found["defaults"], 4),
            f"{found['trial']} of {sum(found['trials'].values())}",
            ", ".join(f"{name} {short(value)}" for name, value in found["parameters"].items()),
        )
        for model, found in studies.items()
    ]
    monitors = ", ".join(sorted({found["monitor"] for found in studies.values()}))
    return Page(
        title="The studies side by side",
        subtitle=f"{monitors} of {data_name(manifest['simulated'], manifest['release'])}, fold 9.",
        simulated=bool(manifest["simulated"]),
        tiles={model: Cell(number(found["value"], 4), note="best trial") for model, found in studies.items()},
        inputs={"models": ", ".join(studies), "data": manifest["digest"][:12]},
        outputs={"best parameters": "tuned.json of the runs below; train takes them with use-tuned=true"},
        parts=[Table(("model", "best", "as configured", "trial", "its values"), rows)],
        footer=["Figures and every trial: the runs below this one."],
    )


def _metric(tuned: Tuned) -> str:
    return METRIC_NAMES.get(tuned.config.monitor, tuned.config.monitor)


def _tiles(tuned: Tuned) -> dict[str, str]:
    found = tuned.content
    tiles = {f"best: trial {found['trial']}": number(found["value"], 4)}
    if found["defaults"] is not None:
        tiles["as configured"] = number(found["defaults"], 4)
        tiles["gained"] = signed(found["value"] - found["defaults"])
    seconds = sum(trial.duration.total_seconds() for trial in tuned.study.trials if trial.duration)
    states = {f"trials {state}": str(count) for state, count in found["trials"].items()}
    return tiles | states | {"computing": duration(seconds)}


def _values(tuned: Tuned) -> Table:
    configured = tuned.space.config_values(tuned.space.drawn_from(tuned.config))
    best = tuned.content["parameters"]
    rows = [
        [name, short(configured.get(name)), short(best.get(name)), searched]
        for name, searched in tuned.space.described().items()
    ]
    return Table(("parameter", "configured", "best", "searched"), rows, style="compact")


def _trials(tuned: Tuned) -> Table:
    names = list(tuned.space.described())
    rows = []
    for trial in tuned.study.trials:
        values, cost = tuned.space.config_values(trial.params), trial.user_attrs.get(COST)
        seconds = duration(trial.duration.total_seconds()) if trial.duration else ""
        score = number(trial.values[0], 4) if trial.values else ""
        cells = [str(trial.number), state_of(trial), score, seconds, short(cost), trial.user_attrs.get(REASON, "")]
        rows.append([*cells, *(short(values.get(name)) for name in names)])
    head = ("trial", "state", _metric(tuned), "took", "million multiply-adds", "why it ended", *names)
    return Table(head, rows, style="compact", title=f"All {len(rows)} trials", folded=True)


def _figures(tuned: Tuned) -> Iterator[Part]:
    """Optuna's figures, each with what it shows."""
    from optuna.visualization import matplotlib as drawing

    study, metric, single = tuned.study, _metric(tuned), len(tuned.study.directions) == 1
    named: dict[str, Any] = {"target": None if single else _score, "target_name": metric}
    names = list(tuned.space.dimensions)
    history = partial(drawing.plot_optimization_history, study, **named)
    yield _picture(history, (9, 4), "Completed trials by their score; a line is the best so far.")
    if single:
        yield _picture(partial(drawing.plot_intermediate_values, study), (9, 4), f"Every trial: {metric}, by epoch.")
    else:
        front = partial(drawing.plot_pareto_front, study, target_names=[metric, "million multiply-adds of one answer"])
        yield _picture(front, (7, 4), "Accuracy against cost: nothing on the front gets better without costing more.")
    if len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) < FEWEST:
        yield f"Importance: fewer than {FEWEST} trials were completed, too few to tell."
    else:
        asked: dict[str, Any] = {
            "evaluator": PedAnovaImportanceEvaluator(target_quantile=BETTER_PART),
            # With a target the evaluator takes the lowest for the best.
            "target": None if single else lambda trial: -_score(trial),
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shares = get_param_importances(study, **asked)
        names.sort(key=lambda name: -shares.get(name, 0.0))
        yield _picture(
            partial(drawing.plot_param_importances, study, target_name=metric, **asked),
            (8, 4),
            "How much a parameter sets the better quarter of the completed trials apart from all (PED-ANOVA).",
        )
    parallel = partial(drawing.plot_parallel_coordinate, study, names[:MOST_AXES], **named)
    yield _picture(parallel, (11, 5), "Completed trials, a line each: the darker, the better.")
    slices = partial(drawing.plot_slice, study, names[:MOST_AXES], **named)
    yield _picture(slices, (11, 3.5), "Completed trials by one parameter at a time: the darker, the later.")


def _score(trial: FrozenTrial) -> float:
    return float(trial.values[0])


def _picture(draw: Callable[[], Any], inches: tuple[float, float], says: str) -> list[Picture]:
    """What Optuna draws, without its title and legends that hide it, or the style that it leaves behind."""
    import matplotlib
    from matplotlib import pyplot

    with matplotlib.rc_context({"backend": "agg"}), warnings.catch_warnings(), temporary_folder("figure") as folder:
        warnings.simplefilter("ignore")
        draw()
        figure = pyplot.gcf()
        figure.set_size_inches(*inches)
        figure.suptitle("")
        for axes in figure.axes:
            axes.set_title("")
            axes.xaxis.label.set_fontsize("small")
            axes.tick_params(which="both", labelsize="x-small")
            if (legend := axes.get_legend()) is not None:
                named = len(legend.get_texts()) <= MOST_NAMED
                legend.remove()
                if named:
                    axes.legend(loc="best", fontsize="small")
        file = folder / "figure.png"
        figure.savefig(file, dpi=DOTS, bbox_inches="tight")
        pyplot.close(figure)
        return [picture(file, says)]
