"""The paper is true to scale, every lead and every mark is where it belongs, and odd recordings are drawn too."""

import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage, imread
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from leadwise.cli import main
from leadwise.contract import DISCLAIMER, LEADS, ECGRecord, LeadwiseError
from leadwise.datasets.synthetic import simulate_record
from leadwise.explain import Explanation
from leadwise.reports.answer_figure import explained_title
from leadwise.reports.ecg_figure import PNG_DPI, draw_ecg
from leadwise.reports.ecg_paper import Paper

MM_PER_INCH = 25.4
ANSWER = {"NORM": 0.004, "MI": 0.93, "STTC": 0.34, "CD": 0.12, "HYP": 0.0}
THRESHOLDS = {"NORM": 0.41, "MI": 0.36, "STTC": 0.38, "CD": 0.33, "HYP": 0.27}


def record(seconds: float = 10.0, fs_hz: float = 100.0, scale: float = 1.0) -> ECGRecord:
    """A spike a second that is one millivolt high in lead I, 1.1 in lead II, and so on."""
    samples = round(seconds * fs_hz)
    signal = np.zeros((samples, 12), dtype=np.float32)
    signal[round(0.5 * fs_hz) :: round(fs_hz)] = scale * (1 + np.arange(12) / 10)
    return ECGRecord(signal, fs_hz, {"age": 63.0, "sex": 1}, "spikes")


def paper_of(figure: Figure) -> Axes:
    (paper,) = (axes for axes in figure.axes if axes.get_label() == "paper")
    return paper


def traces(figure: Figure, lead: str) -> list[np.ndarray]:
    """The lines of a lead in mm of the saved figure: ``(sample, 2)`` each."""
    lines = [line for line in paper_of(figure).lines if line.get_gid() == f"lead-{lead}"]
    pixels = [line.get_transform().transform(np.asarray(line.get_xydata())) for line in lines]
    return [found / figure.dpi * MM_PER_INCH for found in pixels]


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


def test_leads_probabilities_thresholds_and_disclaimer_are_named() -> None:
    shown = texts(draw_ecg(record(), title="Case 7", probabilities=ANSWER, thresholds=THRESHOLDS))
    for expected in (*LEADS, *ANSWER, "Case 7", DISCLAIMER, "<1 %", "93 %", "0 %", "threshold 36 %"):
        assert expected in shown
    assert "25 mm/s   10 mm/mV" in shown
    assert any("63 years" in text and "female" in text for text in shown)


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
        with pytest.raises(LeadwiseError, match=r"mine: received a signal of shape .* allowed: \(time, 12\)"):
            draw_ecg(ECGRecord(signal, 100.0, {}, "mine"))
    with pytest.raises(LeadwiseError, match="fs_hz 0"):
        draw_ecg(ECGRecord(np.zeros((1000, 12)), 0.0, {}))
    for wrong, named in (({"AFIB": 0.2}, "AFIB"), ({"MI": 1.2}, "1.2 for MI"), ({"MI": float("nan")}, "nan for MI")):
        with pytest.raises(LeadwiseError, match=named):
            draw_ecg(record(), probabilities=wrong)


def flat(fs_hz: float = 100.0) -> ECGRecord:
    return ECGRecord(np.zeros((round(10 * fs_hz), 12), dtype=np.float32), fs_hz, {"age": 63.0}, "mine")


def explanation(marks: dict[str, tuple[float, float, float]], seconds: float = 10.0) -> Explanation:
    """Strength from second to second, by lead; 100 Hz."""
    attribution = np.zeros((round(seconds * 100), 12), dtype=np.float32)
    for lead, (start, end, strength) in marks.items():
        attribution[round(start * 100) : round(end * 100), LEADS.index(lead)] = strength
    effects = {"QRS complex": {lead: strength for lead, (_, _, strength) in marks.items()}}
    return Explanation("MI", "shapley", 0.83, attribution, 100.0, effects)


def shaded(figure: Figure) -> list[tuple[float, float, np.ndarray]]:
    """Left and right edge in mm of every strip's shading, and its ``(sample, 4)`` colours."""
    images = [artist for artist in paper_of(figure).get_children() if isinstance(artist, AxesImage)]
    return [(*image.get_extent()[:2], np.asarray(image.get_array())[0]) for image in images]


@pytest.mark.parametrize("fs_hz", [100.0, 500.0])
def test_marks_lie_behind_their_time_and_lead(fs_hz: float) -> None:
    """V1 shows the seconds from 5 to 7.5; V2 is in the row below, the rhythm strip shows all of lead II."""
    marks = {"V1": (6.0, 6.5, 1.0), "II": (8.0, 8.4, -1.0)}
    strips = shaded(draw_ecg(flat(fs_hz), explanation=explanation(marks)))
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
        return sum(isinstance(patch, Rectangle) and bool(patch.get_hatch()) for patch in paper_of(figure).patches)

    assert hatched(draw_ecg(flat(), explanation=explanation({"V1": (6.0, 6.5, 1.0)}))) == 0
    assert hatched(draw_ecg(flat(), explanation=explanation({"V1": (6.0, 6.5, 1.0), "V2": (6.0, 6.5, -1.0)}))) == 1


def test_it_is_said_in_words() -> None:
    marks = {"III": (1.0, 1.2, 2.0), "aVF": (3.0, 3.2, 1.5), "I": (1.0, 1.2, -1.0), "V6": (8.0, 8.2, 0.01)}
    found = explanation(marks)
    shown = "\n".join(texts(draw_ecg(flat(), title=explained_title("mine", found), explanation=found)))
    for expected in (
        "mine  ·  Why MI (myocardial infarction) 83 %",
        "speaks for MI",
        "speaks against MI",
        "For: QRS complex in III, aVF",
        "Against: QRS complex in I",
        "no proof of a cause",
    ):
        assert expected in shown
    assert "V6\n" in shown
    assert "III, aVF, V6" not in shown
    assert explained_title("", found) == "Why MI (myocardial infarction) 83 %"


def test_the_paper_stays_true_to_scale_and_makes_room_for_the_legend() -> None:
    plain, shadowed = draw_ecg(flat()), draw_ecg(flat(), explanation=explanation({"V1": (6.0, 6.5, 1.0)}))
    sizes = [paper_of(figure).get_position().size * figure.get_size_inches() for figure in (plain, shadowed)]
    np.testing.assert_allclose(*sizes)
    assert shadowed.get_size_inches()[1] - plain.get_size_inches()[1] == pytest.approx(13 / 25.4)


def test_another_recording_is_refused() -> None:
    with pytest.raises(LeadwiseError, match="mine: received an explanation of 8 s for 10 s; allowed: one of the same"):
        draw_ecg(flat(), explanation=explanation({}, seconds=8.0))


BEGINS = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 s whose file does not say its units."""
    file = tmp_path_factory.mktemp("plot") / "walk-in.npz"
    signal = np.tile(simulate_record("CD", 5).signal_mv, (2, 1))
    np.savez(file, signal=signal, fs_hz=100.0, leads=np.array(LEADS))
    return file


@pytest.mark.parametrize("ending", BEGINS)
def test_each_ending_is_a_format(
    recording: Path, tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"ecg.{ending}"
    assert main(["plot", str(recording), "-o", str(out), "--units", "mV", "--start", "7"]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert out.read_bytes().startswith(BEGINS[ending])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "ecg.gif", "--units", "mV"], "--output: received ecg.gif"),
        (["-o", "ecg.png"], "Answer with --units"),
        (["-o", "ecg.png", "--units", "mV", "--start", "30"], "--start: received 30; 0 to 19 s is allowed"),
        (["-o", "ecg.png", "--units", "V"], "signal: "),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    recording: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plot", str(recording), *arguments]) == 1
    message = capsys.readouterr().err
    assert message.startswith("leadwise plot: error: ")
    assert said in message
    assert message.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
