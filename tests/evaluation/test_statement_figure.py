from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from leadwise.datasets.statements import STATEMENT_TABLE
from leadwise.reports.breakdown_figures import statement_figure

TOLD = ("AFIB", "PACE", "LAFB", "VCLVH")


def content(*, intervals: bool = True, told: tuple[str, ...] = TOLD) -> dict[str, Any]:
    """What ``statements.json`` holds, as far as the figure reads it."""
    entries = []
    for k, statement in enumerate(STATEMENT_TABLE):
        area = {"value": 0.9 + k / 1000, "low": 0.62, "high": 0.99} if intervals else {"value": 0.95, "low": None}
        entries.append(
            {
                "code": statement.code,
                "name": statement.name,
                "group": statement.group,
                "trusted": statement.code in told,
                "reason": None if statement.code in told else "3 records have it",
                "positives": {"test": 1000 + k},
                "test": {"auroc": area, "auprc": {"value": 0.5}},
            }
        )
    macro = {"statements": 68, "value": 0.93, "low": 0.92 if intervals else None, "high": 0.94}
    return {"statements": entries, "macro_auroc": {"all": macro}}


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in (*figure.axes[0].texts, *figure.texts)]


def test_told_statements_stand_with_their_figures_and_the_others_by_name() -> None:
    figure = statement_figure(content(), title="Statements of fusion")
    found = texts(figure)
    assert {"atrial fibrillation", "paced rhythm", "left anterior fascicular block"} <= set(found)
    for heading in ("Diagnoses: 1 of 44 reported", "Form of the waves: 1 of 15 reported", "Rhythm: 2 of 12 reported"):
        assert heading in found
    below = " ".join(found)
    assert all(s.name in below for s in STATEMENT_TABLE)
    assert "68 statements with a positive, 0.930 [0.920, 0.940]" in figure.axes[0].get_xlabel()
    # Best first: PACE stands behind AFIB among the statements, so its AUROC is higher here.
    assert found.index("paced rhythm") < found.index("atrial fibrillation")


def test_no_interval_is_cut_off_and_no_text_leaves_the_page() -> None:
    figure = statement_figure(content())
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    assert figure.axes[0].get_xlim()[0] <= 0.62
    page = figure.bbox
    for text in (*figure.axes[0].texts, *figure.texts):
        box = text.get_window_extent(canvas.get_renderer())
        assert box.x0 >= page.x0 - 1, text.get_text()
        assert box.x1 <= page.x1 + 1, text.get_text()
        assert box.y0 >= page.y0 - 1, text.get_text()


def undefined() -> Mapping[str, Any]:
    found = content(told=("AFIB",))
    for entry in found["statements"]:
        entry["test"]["auroc"] = {"value": None, "low": None, "high": None}
    found["macro_auroc"]["all"] = {"statements": 0, "value": None, "low": None, "high": None}
    return found


@pytest.mark.parametrize("given", [content(told=()), content(intervals=False), undefined()])
def test_few_or_undefined_figures_still_make_a_figure(given: Mapping[str, Any]) -> None:
    canvas = FigureCanvasAgg(statement_figure(given))
    canvas.draw()
    assert np.asarray(canvas.buffer_rgba()).std() > 0
