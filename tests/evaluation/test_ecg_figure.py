"""The paper is true to scale, every lead is where it belongs, and odd recordings are drawn too."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.lines import Line2D
from matplotlib.text import Text

from leadwise.contract import DISCLAIMER, LEADS, ECGRecord
from leadwise.reports.ecg_figure import PNG_DPI, draw_ecg
from leadwise.reports.ecg_paper import LABEL_MM, ECGFigureError, Paper

MM_PER_INCH = 25.4
ANSWER = {"NORM": 0.004, "MI": 0.93, "STTC": 0.34, "CD": 0.12, "HYP": 0.0}
THRESHOLDS = {"NORM": 0.41, "MI": 0.36, "STTC": 0.38, "CD": 0.33, "HYP": 0.27}


def record(seconds: float = 10.0, fs_hz: float = 100.0, scale: float = 1.0) -> ECGRecord:
    """A spike a second that is one millivolt high in lead I, 1.1 in lead II, and so on."""
    samples = round(seconds * fs_hz)
    signal = np.zeros((samples, 12), dtype=np.float32)
    signal[round(0.5 * fs_hz) :: round(fs_hz)] = scale * (1 + np.arange(12) / 10)
    return ECGRecord(signal, fs_hz, {"age": 63.0, "sex": 1}, "spikes")


def traces(figure: Figure, lead: str) -> list[np.ndarray]:
    """The lines of a lead in mm of the saved figure: ``(sample, 2)`` each."""
    (paper,) = (axes for axes in figure.axes if axes.get_label() == "paper")
    lines = [line for line in paper.lines if line.get_gid() == f"lead-{lead}"]
    return [on_paper(figure, line) for line in lines]


def on_paper(figure: Figure, line: Line2D) -> np.ndarray:
    pixels = line.get_transform().transform(np.asarray(line.get_xydata()))
    return pixels / figure.dpi * MM_PER_INCH


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def test_a_lead_lasts_two_and_a_half_seconds_and_the_rhythm_strip_ten() -> None:
    figure = draw_ecg(record())
    lengths = [np.ptp(trace[:, 0]) for lead in LEADS for trace in traces(figure, lead)]
    assert sorted(lengths)[:-1] == pytest.approx([62.5] * 12, abs=0.3)
    assert max(lengths) == pytest.approx(250, abs=0.3)
    assert len(traces(figure, "II")) == 2


@pytest.mark.parametrize("speed", [25, 50])
@pytest.mark.parametrize("layout", ["3 x 4", "12 x 1"])
def test_every_layout_holds_speed_and_gain(layout: str, speed: int) -> None:
    figure = draw_ecg(record(fs_hz=500.0), on=Paper(layout, speed))
    for k, lead in enumerate(LEADS):
        drawn = traces(figure, lead)
        for trace in drawn:
            peaks = trace[trace[:, 1] > trace[0, 1] + 1]
            assert np.diff(peaks[:, 0]) == pytest.approx(speed, abs=1e-6)
            assert peaks[:, 1] - trace[0, 1] == pytest.approx(10 * (1 + k / 10), abs=1e-3)
        if layout == "12 x 1":
            assert [np.ptp(trace[:, 0]) for trace in drawn] == pytest.approx([9.998 * speed])
    assert f"{speed} mm/s   10 mm/mV" in texts(figure)


def test_another_layout_or_speed_is_refused() -> None:
    with pytest.raises(ECGFigureError, match=r"6 x 2.*3 x 4, 12 x 1"):
        Paper("6 x 2")
    with pytest.raises(ECGFigureError, match="10 mm/s; allowed: 25 or 50"):
        Paper(speed_mm_s=10)


def test_columns_follow_each_other_in_time_and_rows_share_it() -> None:
    figure = draw_ecg(record())
    left = {lead: traces(figure, lead)[0][0, 0] for lead in LEADS}
    for row in (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6")):
        assert np.diff([left[lead] for lead in row]) == pytest.approx([62.5] * 3)


@pytest.mark.parametrize("dpi", [PNG_DPI, 100])
def test_the_saved_picture_holds_the_scale(dpi: int) -> None:
    """The calibration pulse of the picture itself is 5 mm wide and 10 mm high."""
    figure = draw_ecg(ECGRecord(np.zeros((1000, 12)), 100.0, {}))
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=dpi)
    buffer.seek(0)
    ink = imread(buffer)[..., :3].max(axis=2) < 0.45
    width_mm, height_mm = figure.get_size_inches() * MM_PER_INCH
    millimetre = dpi / MM_PER_INCH
    assert ink.shape == pytest.approx((height_mm * millimetre, width_mm * millimetre), abs=1)
    pulse = ink[: round(45 * millimetre), round(10 * millimetre) : round(20.5 * millimetre)]
    pulse[: round(16 * millimetre)] = False  # the headline
    rows, columns = np.flatnonzero(pulse.any(axis=1)), np.flatnonzero(pulse.sum(axis=0) > 5 * millimetre)
    assert np.ptp(rows) == pytest.approx(10 * millimetre, abs=0.05 * 10 * millimetre + 1)
    assert np.ptp(columns) == pytest.approx(5 * millimetre, abs=0.1 * 5 * millimetre + 1)


def test_ten_pixels_a_millimetre_put_the_grid_on_whole_pixels() -> None:
    figure = draw_ecg(record())
    buffer = io.BytesIO()
    figure.savefig(buffer)
    buffer.seek(0)
    picture = imread(buffer)
    line = picture[150, 62:1062, 1]  # a row of pixels at the top of the paper, without a trace
    np.testing.assert_array_equal(line[:500], line[500:])


def test_leads_probabilities_thresholds_and_disclaimer_are_named() -> None:
    shown = texts(draw_ecg(record(), title="Case 7", probabilities=ANSWER, thresholds=THRESHOLDS))
    for expected in (*LEADS, *ANSWER, "Case 7", DISCLAIMER, "<1 %", "93 %", "0 %", "threshold 36 %"):
        assert expected in shown
    assert "25 mm/s   10 mm/mV" in shown
    assert any("63 years" in text and "female" in text for text in shown)


@pytest.mark.parametrize("scale", [1.0, -2.0, 3.0])
def test_every_name_stands_at_the_same_height_above_its_own_baseline(scale: float) -> None:
    figure = draw_ecg(record(scale=scale))
    (paper,) = (axes for axes in figure.axes if axes.get_label() == "paper")
    names = [text for text in paper.texts if (text.get_gid() or "").startswith("name-")]
    assert sorted(text.get_text() for text in names) == sorted([*LEADS, "II"])
    for text in names:
        own = [line for line in paper.lines if line.get_gid() == f"lead-{text.get_text()}"]
        baselines = [float(np.median(np.asarray(line.get_ydata()))) for line in own]
        assert any(text.get_position()[1] - height == pytest.approx(LABEL_MM, abs=0.1) for height in baselines)
        assert text.get_path_effects(), "a halo keeps it legible on the trace"
        assert text.get_zorder() > own[0].get_zorder()


def test_a_short_recording_shows_every_lead() -> None:
    figure = draw_ecg(record(seconds=1.8))
    for lead in LEADS:
        assert np.ptp(traces(figure, lead)[0][:, 0]) == pytest.approx(1.79 * 25)


def test_rows_make_room_for_tall_complexes_and_the_rest_is_said_to_be_cut() -> None:
    usual, tall, extreme = (draw_ecg(record(scale=scale)) for scale in (1, 2, 20))
    heights = [figure.get_size_inches()[1] for figure in (usual, tall, extreme)]
    assert heights[0] < heights[1] < heights[2] < 15
    assert "cut off at the paper's edge" in texts(extreme)
    assert "cut off at the paper's edge" not in texts(tall)


def test_missing_samples_leave_gaps_and_a_missing_lead_is_named() -> None:
    odd = record()
    odd.signal_mv[:, 3] = np.nan
    odd.signal_mv[20:30, 0] = np.inf
    figure = draw_ecg(odd)
    assert texts(figure).count("no signal") == 1
    assert traces(figure, "aVR") == []
    assert np.isnan(traces(figure, "I")[0][:, 1]).sum() == 10
    nothing = draw_ecg(ECGRecord(np.full((1000, 12), np.nan), 100.0, {"age": None}))
    assert texts(nothing).count("no signal") == 13


def test_a_long_recording_says_what_is_shown_and_an_offset_moves_nothing() -> None:
    shifted = record(seconds=30)
    shifted.signal_mv[:, 6] += 3
    figure = draw_ecg(shifted)
    np.testing.assert_allclose(traces(figure, "V1")[0], traces(draw_ecg(record()), "V1")[0], atol=1e-3)
    assert any("30 s, first 10 s shown" in text for text in texts(figure))


def test_what_cannot_be_drawn_is_named() -> None:
    for signal in (np.zeros((0, 12)), np.zeros((1000, 3)), np.zeros(1000)):
        with pytest.raises(ECGFigureError, match=r"mine: received a signal of shape .* allowed: \(time, 12\)"):
            draw_ecg(ECGRecord(signal, 100.0, {}, "mine"))
    with pytest.raises(ECGFigureError, match="fs_hz 0"):
        draw_ecg(ECGRecord(np.zeros((1000, 12)), 0.0, {}))
    for wrong, named in (({"AFIB": 0.2}, "AFIB"), ({"MI": 1.2}, "1.2 for MI"), ({"MI": float("nan")}, "nan for MI")):
        with pytest.raises(ECGFigureError, match=named):
            draw_ecg(record(), probabilities=wrong)


def test_a_figure_is_written_without_pyplot(tmp_path: Path) -> None:
    """In a process of its own: whether pyplot has been imported is a question to the whole process."""
    code = (
        "import sys, numpy as np; from leadwise.contract import ECGRecord;"
        "from leadwise.reports.ecg_figure import draw_ecg;"
        "import leadwise.reports.figures;"
        "draw_ecg(ECGRecord(np.zeros((1000, 12)), 100.0, {}), probabilities={'MI': 0.5}).savefig(sys.argv[1]);"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    file = tmp_path / "ecg.png"
    subprocess.run(
        [sys.executable, "-c", code, str(file)], check=True, env={"PYTHONPATH": "src", "HOME": str(tmp_path)}
    )
    assert file.stat().st_size > 5_000
