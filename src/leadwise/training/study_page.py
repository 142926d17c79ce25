"""One page that says what a study found, how, and what every trial of it did; it loads nothing from elsewhere."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leadwise.atomic import write_atomically
from leadwise.datasets.checks.data_docs import page
from leadwise.training.parameter_figures import draw_parallel, draw_slices
from leadwise.training.study_figures import (
    METRIC_NAMES,
    draw_courses,
    draw_front,
    draw_history,
    draw_importances,
    svg_address,
)
from leadwise.training.study_importance import FEWEST, importances_of
from leadwise.training.study_table import StudyTable, TrialRow

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = """
body{max-width:74rem}.tiles{display:flex;flex-wrap:wrap;gap:.4rem 1.8rem;color:#5b6673;margin:1rem 0}
.tiles b{display:block;font-size:1.3rem;color:#1d2733;font-variant-numeric:tabular-nums}
.simulated{padding:.5rem .8rem;border-left:.35rem solid #b3261e;background:#fdf0ef;font-weight:600}
figure{margin:.6rem 0;overflow-x:auto}figure img{max-width:100%;height:auto}figcaption{color:#5b6673;font-size:.9em}
.wide{overflow-x:auto}.trials{font-size:.84em;width:auto}.trials td,.trials th{padding:.2rem .5rem;white-space:nowrap}
.trials td.why{white-space:normal;min-width:19rem}.pruned td,.lost td{color:#5b6673}.failed td{color:#b3261e}
tr.best td{font-weight:600;background:#eef4fb}tr.default td{background:#fdf3ec}table.found{width:auto}
"""
SIMULATED = "Simulated data: what is best here says nothing about recordings of patients."


def write_study_page(file: Path, table: StudyTable, beside: Sequence[StudyTable], manifest: Mapping[str, Any]) -> None:
    """Draw and write the page.

    Args:
        file: to be written.
        table: the study; at least one trial was completed.
        beside: the same study with other samplers.
        manifest: of the store.
    """
    body = [
        f"<p class='sub'>{escape(table.name)}. PTB-XL {escape(str(manifest['release']))}, "
        f"data {escape(manifest['digest'][:12])}.</p>",
        f"<p class='simulated'>{SIMULATED}</p>" if manifest["simulated"] else "",
        _tiles(table),
        _compared(table, beside),
        "<h2>What was found</h2>",
        _found(table),
        *_figures(table, beside),
        f"<h2>All {len(table.trials)} trials</h2>",
        _trials(table),
    ]
    write_atomically(file, page(f"Tuning of {table.name.split('/')[1]}", "".join(body), STYLE))


def _tiles(table: StudyTable) -> str:
    best, defaults = table.best, table.defaults
    minutes = sum(trial.seconds for trial in table.trials) / 60
    tiles = [(f"trial {best.number}, the best" if best else "the best", _number(best.score if best else math.nan))]
    if best is not None and defaults is not None:
        tiles += [("as configured", _number(defaults.score)), ("gained", f"{best.score - defaults.score:+.4f}")]
    tiles += [(state, str(count)) for state, count in table.tally.items()]
    tiles.append(("minutes of computing", f"{minutes:.1f}"))
    shown = "".join(f"<div><b>{escape(value)}</b>{escape(name)}</div>" for name, value in tiles)
    metric = escape(METRIC_NAMES.get(table.monitor, table.monitor))
    return f"<p>By {metric}, after at most {table.epochs} epochs of a trial.</p><div class='tiles'>{shown}</div>"


def _compared(table: StudyTable, beside: Sequence[StudyTable]) -> str:
    """One sentence for each sampler that has searched the same."""
    lines = []
    for other in beside:
        if other.best is None:
            continue
        best, minutes = other.best, sum(trial.seconds for trial in other.trials) / 60
        lines.append(
            f"<p>Beside it, with the sampler <b>{escape(other.sampler)}</b>: {_number(best.score)} at best "
            f"(trial {best.number} of {len(other.trials)}, {minutes:.1f} minutes of computing).</p>"
        )
    return "".join(lines)


def _found(table: StudyTable) -> str:
    best = table.best
    rows = [
        f"<tr><td>{escape(name)}</td><td class='n'>{_value(table.configured.get(name))}</td>"
        f"<td class='n'><b>{_value(best.values.get(name) if best else None)}</b></td><td>{escape(searched)}</td></tr>"
        for name, searched in table.ranges.items()
    ]
    head = "<tr><th>parameter</th><th>configured</th><th>best</th><th>searched</th></tr>"
    return f"<div class='wide'><table class='found'>{head}{''.join(rows)}</table></div>"


def _figures(table: StudyTable, beside: Sequence[StudyTable]) -> Iterator[str]:
    yield "<h2>History</h2>"
    yield _figure(
        draw_history(table, beside),
        "Every trial by its score: filled, if it came to its end; a diamond is the configured one; hollow, where it "
        "was pruned. Trials below the shown range were pruned early.",
    )
    if table.front:
        yield "<h2>Accuracy against cost</h2>"
        yield _figure(
            draw_front(table),
            "Completed trials by the multiply-adds of one answer. Nothing on the line can be made better without "
            "costing more; its numbers are those of the trials.",
        )
    if any(trial.course for trial in table.trials):
        yield "<h2>Courses</h2>"
        yield _figure(draw_courses(table), "Each trial over its epochs. At a dotted line the better half goes on.")
    yield "<h2>Importance</h2>"
    importances = importances_of(table)
    if importances:
        yield _figure(
            draw_importances(importances),
            "How much the values of a parameter set the better quarter of the trials apart from all (PED-ANOVA). The "
            "width of an encoder counts among the trials that had it.",
        )
    else:
        yield f"<p>Fewer than {FEWEST} trials were completed: too few to tell.</p>"
    yield "<h2>Parallel coordinates</h2>"
    yield _figure(
        draw_parallel(table),
        "Completed trials, a line each: the darker, the better; thick, the best; orange, the configured one.",
    )
    yield "<h2>Slices</h2>"
    yield _figure(
        draw_slices(table),
        "One parameter at a time: a star is the best trial, a diamond the configured one, hollow are pruned ones.",
    )


def _figure(figure: "Figure", says: str) -> str:
    return (
        f"<figure><img src='{svg_address(figure)}' alt='{escape(says, quote=True)}'>"
        f"<figcaption>{escape(says)}</figcaption></figure>"
    )


def _trials(table: StudyTable) -> str:
    names = list(table.ranges)
    head = ["trial", "state", METRIC_NAMES.get(table.monitor, table.monitor), "epochs", "seconds", "M multiply-adds"]
    heads = "".join(f"<th>{escape(name)}</th>" for name in [*head, "why it ended", *names])
    rows = "".join(_trial(trial, table, names) for trial in table.trials)
    return f"<div class='wide'><table class='trials'><tr>{heads}</tr>{rows}</table></div>"


def _trial(trial: TrialRow, table: StudyTable, names: Sequence[str]) -> str:
    kinds = [trial.state, "best" if trial == table.best else "", "default" if trial.is_default else ""]
    numbers = [_number(trial.score), str(len(trial.course) or ""), f"{trial.seconds:.0f}", _value(trial.cost)]
    cells = [f"<td class='n'>{trial.number}</td><td>{trial.state}</td>"]
    cells += [f"<td class='n'>{text}</td>" for text in numbers]
    cells.append(f"<td class='why'>{escape(trial.reason)}</td>")
    cells += [f"<td class='n'>{_value(trial.values.get(name))}</td>" for name in names]
    return f"<tr class='{' '.join(filter(None, kinds))}'>{''.join(cells)}</tr>"


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def _value(value: Any) -> str:
    if value is None or value != value:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else escape(str(value))
