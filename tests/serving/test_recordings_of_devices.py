"""Recordings of carts and collections, answered: the same in every format, and one of many by its number."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from device_files import WRITERS
from scipy.signal import resample_poly

from leadwise.cli import main
from leadwise.contract import LEADS
from leadwise.datasets.synthetic import simulate_record
from leadwise.ecg.formats import read_ecg
from leadwise.serving.scorer import Scorer


class Ecg:
    """As the writers take it: whole microvolts at 500 Hz."""

    fs_hz, names, unit = 500, LEADS, "uV"
    birth = pd.Timestamp("1962-05-17")

    def __init__(self) -> None:
        simulated = simulate_record("MI", 7, noise=0.5).signal_mv.astype(float)
        self.microvolts = np.round(resample_poly(simulated, 5, 1, axis=0) * 1000)
        self.in_unit, self.mv = self.microvolts, self.microvolts / 1000


@pytest.fixture(scope="module")
def one() -> Ecg:
    return Ecg()


def test_every_format_of_one_ecg_has_the_same_answer(one: Ecg, scorer: Scorer, tmp_path: Path) -> None:
    wanted = None
    for kind, write in WRITERS.items():
        row = read_ecg(write(one, *([tmp_path / "record"] if kind == "segments" else []))).array_row()
        # Not every format holds the height and the weight.
        (answer,) = scorer.score([{name: row[name] for name in ("signal", "leads", "fs_hz", "units", "order")}])
        wanted = wanted or answer
        assert answer["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-5), kind
        assert answer["quality"] == wanted["quality"]


def test_one_of_many_recordings_is_predicted_plotted_and_scored_in_a_table(
    one: Ecg, package_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = tmp_path / "many.h5"
    many.write_bytes(WRITERS["hdf5"](one, many=4))
    model = ["--model", str(package_folder)]
    assert main(["predict", f"{many}#3", *model]) == 0
    assert capsys.readouterr().out.startswith("many.h5#3: HDF5")
    assert main(["predict", str(many), *model]) == 1
    assert "record: The file holds 4 recordings: which is wanted, 0 to 3? Name the" in capsys.readouterr().err
    assert main(["plot", f"{many}#1", "--output", str(tmp_path / "one.png")]) == 0
    assert (tmp_path / "one.png").stat().st_size > 10_000
    assert main(["plot", str(many), "--output", str(tmp_path / "none.png")]) == 1
    assert "many.h5#0." in capsys.readouterr().err
    table = tmp_path / "some.csv"
    table.write_text("file\nmany.h5#0\nmany.h5#3\nmany.h5#9\nmany.h5\n", encoding="utf-8")
    main(["score", str(table), str(tmp_path / "answers.parquet"), *model, "--workers", "1"])
    answers = pd.read_parquet(tmp_path / "answers.parquet")
    assert list(answers["format"].fillna("")) == ["HDF5", "HDF5", "", "HDF5"]
    assert list(answers["error_field"].fillna("")) == ["", "", "record", "record"]
    assert answers["id"].tolist()[:2] == ["many.h5#0", "many.h5#3"]


def test_a_folder_is_searched_for_all_of_them_and_segments_are_one_recording(one: Ecg, tmp_path: Path) -> None:
    from leadwise.serving.batch_source import entries

    WRITERS["segments"](one, tmp_path, variable=True)
    for name, kind in (("a.scp", "scp"), ("b.h5", "hdf5"), ("c.ecg", "ishne"), ("d.mwf", "mfer"), ("e.xml", "philips")):
        (tmp_path / name).write_bytes(WRITERS[kind](one))
    found = [Path(entry["file"]).name for entry in entries(tmp_path)]
    assert found == ["a.scp", "b.h5", "c.ecg", "d.mwf", "e.xml", "rec.hea"]


def test_the_page_asks_which_of_many_recordings_is_meant(one: Ecg) -> None:
    from streamlit.testing.v1 import AppTest

    def page() -> None:
        from leadwise.app.inputs import uploaded_case

        uploaded_case()

    visit = AppTest.from_function(page, default_timeout=120).run()
    content = WRITERS["hdf5"](one, many=4)
    visit.file_uploader(key="upload").set_value(("many.h5", content, "application/octet-stream")).run()
    assert not visit.exception
    (asked,) = visit.number_input
    assert asked.label.startswith("The file holds 4 recordings")
    asked.set_value(0).run()
    assert not visit.exception
    assert any("many.h5#0" in shown.body for shown in visit.get("html"))
