"""What speaks for a class is orange and behind the right stretch of the right lead; nothing global is touched."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from leadwise.contract import LEADS, ECGRecord
from leadwise.explain import Explanation
from leadwise.reports.ecg_figure import draw_ecg
from leadwise.reports.ecg_paper import ECGFigureError
from leadwise.reports.explanation_figure import draw_explanation


def record(fs_hz: float = 100.0, seconds: float = 10.0) -> ECGRecord:
    return ECGRecord(np.zeros((round(seconds * fs_hz), 12), dtype=np.float32), fs_hz, {"age": 63.0}, "mine")


def explanation(marks: dict[str, tuple[float, float, float]], seconds: float = 10.0) -> Explanation:
    """Strength from second to second, by lead; 100 Hz."""
    attribution = np.zeros((round(seconds * 100), 12), dtype=np.float32)
    for lead, (start, end, strength) in marks.items():
        attribution[round(start * 100) : round(end * 100), LEADS.index(lead)] = strength
    effects = {"QRS complex": {lead: strength for lead, (_, _, strength) in marks.items()}}
    return Explanation("MI", "shapley", 0.83, attribution, 100.0, effects)


def shaded(figure: Figure) -> list[tuple[float, float, np.ndarray]]:
    """Left and right edge in mm of every strip's shading, and its ``(sample, 4)`` colours."""
    (paper,) = (axes for axes in figure.axes if axes.get_label() == "paper")
    images = [artist for artist in paper.get_children() if isinstance(artist, AxesImage)]
    return [(*image.get_extent()[:2], np.asarray(image.get_array())[0]) for image in images]


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


@pytest.mark.parametrize("fs_hz", [100.0, 500.0])
def test_marks_lie_behind_their_time_and_lead(fs_hz: float) -> None:
    """V1 shows the seconds from 5 to 7.5; V2 is in the row below, the rhythm strip shows all of lead II."""
    marks = {"V1": (6.0, 6.5, 1.0), "II": (8.0, 8.4, -1.0)}
    strips = shaded(draw_explanation(record(fs_hz), explanation(marks)))
    seen = [(left, right, colours) for left, right, colours in strips if colours[:, 3].max() > 0.5]
    assert len(strips) == 13
    assert len(seen) == 2
    for (left, right, colours), strip_start, (start, end, sign) in zip(
        seen, (5.0, 0.0), (marks["V1"], marks["II"]), strict=True
    ):
        seconds = strip_start + np.linspace(0, (right - left) / 25, len(colours))
        dark = seconds[colours[:, 3] > 0.4]
        assert dark.min() == pytest.approx(start, abs=0.06)
        assert dark.max() == pytest.approx(end, abs=0.06)
        red, _, blue = colours[colours[:, 3].argmax(), :3]
        assert (red > blue) == (sign > 0)


def test_only_what_speaks_against_is_hatched() -> None:
    def hatched(figure: Figure) -> int:
        (paper,) = (axes for axes in figure.axes if axes.get_label() == "paper")
        return sum(isinstance(patch, Rectangle) and bool(patch.get_hatch()) for patch in paper.patches)

    assert hatched(draw_explanation(record(), explanation({"V1": (6.0, 6.5, 1.0)}))) == 0
    assert hatched(draw_explanation(record(), explanation({"V1": (6.0, 6.5, 1.0), "V2": (6.0, 6.5, -1.0)}))) == 1


def test_it_is_said_in_words() -> None:
    marks = {"III": (1.0, 1.2, 2.0), "aVF": (3.0, 3.2, 1.5), "I": (1.0, 1.2, -1.0), "V6": (8.0, 8.2, 0.01)}
    shown = texts(draw_explanation(record(), explanation(marks), probability=0.71))
    for expected in (
        "mine  ·  Why MI (myocardial infarction) 71 %",
        "speaks for MI",
        "speaks against MI",
        "For: QRS complex in III, aVF",
        "Against: QRS complex in I",
        "no proof of a cause",
    ):
        assert expected in shown
    assert "V6\n" in shown
    assert "III, aVF, V6" not in shown
    assert "Why MI (myocardial infarction) 83 %" in texts(
        draw_explanation(record(), explanation(marks), title="Case 7")
    )


def test_the_paper_stays_true_to_scale_and_makes_room_for_the_legend() -> None:
    plain, shadowed = draw_ecg(record()), draw_explanation(record(), explanation({"V1": (6.0, 6.5, 1.0)}))
    sizes = [
        next(axes for axes in figure.axes if axes.get_label() == "paper").get_position().size * figure.get_size_inches()
        for figure in (plain, shadowed)
    ]
    np.testing.assert_allclose(*sizes)
    assert shadowed.get_size_inches()[1] - plain.get_size_inches()[1] == pytest.approx(13 / 25.4)


def test_another_recording_is_refused() -> None:
    with pytest.raises(ECGFigureError, match="mine: received an explanation of 8 s for 10 s; allowed: one of the same"):
        draw_explanation(record(), explanation({}, seconds=8.0))
