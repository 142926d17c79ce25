"""One recording along every path: what is missing, where its ends hold nothing, and what its reader noticed.

Every path has to give the same answer, and tell the same in its flags.
"""

import base64
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import wfdb
from live_server import SmallModel, in_use

from leadwise.cli import main
from leadwise.contract import LEADS, SUPERCLASSES
from leadwise.ecg.formats import read_ecg
from leadwise.serving import Client
from leadwise.serving.api import respond
from leadwise.serving.batch import score_batch
from leadwise.serving.scorer import Scorer

Answer = dict[str, Any]
FS_HZ = 100
UV = {"fs_hz": FS_HZ, "units": "uV"}
HINTS = ("--fs-hz", "100", "--units", "uV")


@pytest.fixture
def whole_uv(ecg_mv: np.ndarray) -> np.ndarray:
    """``(1000, 12)`` whole microvolts."""
    return np.round(ecg_mv * 1000).astype(np.int16)


@pytest.fixture
def loaded(small_model: SmallModel) -> Iterator[Any]:
    """The registered model, as a notebook loads it; the search path is put back after it."""
    import mlflow

    before = sys.path[:]
    with in_use(small_model.tracking):
        yield mlflow.pyfunc.load_model(small_model.uri)
    sys.path[:] = before


def write_wfdb(file: Path, uv: np.ndarray) -> None:
    signal_mv = np.where(uv == -32768, np.nan, uv) / 1000
    wfdb.wrsamp(
        file.stem, fs=FS_HZ, units=["mV"] * 12, sig_name=list(LEADS), p_signal=signal_mv, fmt=["16"] * 12,
        adc_gain=[1000.0] * 12, baseline=[0] * 12, write_dir=str(file.parent),
    )  # fmt: skip


def write_npz(file: Path, uv: np.ndarray) -> None:
    np.savez(file, signal=uv, fs_hz=FS_HZ, units="uV", leads=list(LEADS))


def in_base64(uv: np.ndarray, **how: Any) -> Answer:
    return {"signal": base64.b64encode(uv.tobytes()).decode(), "shape": list(uv.shape), **how}


FORMS: dict[str, Callable[[np.ndarray], Answer]] = {
    "lists": lambda uv: {"signal": uv.tolist()},
    "lists, a lead each": lambda uv: {"signal": uv.T.tolist()},
    "lists of floats": lambda uv: {"signal": uv.astype(float).tolist()},
    "base64 of int16": lambda uv: in_base64(uv, dtype="int16", units_per_count=1),
    "base64 of float32": lambda uv: in_base64(uv.astype("<f4"), dtype="float32"),
}
"""Whole microvolts ``(time, 12)`` in a row of a request."""
ALL_LEADS = ("--leads", ",".join(LEADS))
FILES: dict[str, tuple[str, Callable[[Path, np.ndarray], object], Sequence[str]]] = {
    "NPY": ("rec.npy", np.save, (*HINTS, *ALL_LEADS)),
    "NPY of floats": ("rec.npy", lambda file, uv: np.save(file, uv.astype(np.float32)), (*HINTS, *ALL_LEADS)),
    "NPZ": ("rec.npz", write_npz, ()),
    "CSV": ("rec.csv", lambda file, uv: pd.DataFrame(uv, columns=list(LEADS)).to_csv(file, index=False), HINTS),
    "Parquet": ("rec.parquet", lambda file, uv: pd.DataFrame(uv, columns=list(LEADS)).to_parquet(file), HINTS),
    "WFDB": ("rec.hea", write_wfdb, ()),
}
"""The same in a file, with what it does not say."""


@dataclass(frozen=True)
class Paths:
    """Whole microvolts along each path, and what is answered."""

    scorer: Scorer
    package: Path
    folder: Path
    capsys: pytest.CaptureFixture[str]

    def answer(self, path: str, uv: np.ndarray) -> Answer:
        if path in FORMS:
            body = json.dumps({"inputs": [FORMS[path](uv) | UV]}).encode()
            return dict(respond(self.scorer, body, "application/json")[1]["predictions"][0])
        if path == "batch":
            return self._batch(uv)
        name, write, hints = FILES[path]
        write(self.folder / name, uv)
        assert main(["predict", str(self.folder / name), "--model", str(self.package), "--json", *hints]) == 0
        return dict(json.loads(self.capsys.readouterr().out)[0]["answer"])

    def _batch(self, uv: np.ndarray) -> Answer:
        (source := self.folder / "batch").mkdir()
        write_npz(source / "rec.npz", uv)
        table = pd.read_parquet(score_batch(source, self.folder / "a.parquet", self.package, workers=1).file)
        assert table["error"].isna().all()
        flags = [dict(flag) | {"leads": list(flag["leads"])} for flag in table["quality"][0]]
        return {"probabilities": {name: table[f"probability_{name}"][0] for name in SUPERCLASSES}, "quality": flags}


@pytest.fixture
def paths(scorer: Scorer, package_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Paths:
    return Paths(scorer, package_folder, tmp_path, capsys)


def flags(answer: Answer) -> dict[str, list[str]]:
    return {flag["flag"]: flag["leads"] for flag in answer["quality"]}


def close(answer: Answer, expected: Answer) -> bool:
    return bool(answer["probabilities"] == pytest.approx(expected["probabilities"], abs=2e-6))


@pytest.mark.parametrize("path", [*FORMS, *FILES, "batch"])
def test_the_smallest_16_bit_number_is_a_missing_sample_and_ends_of_zeros_are_cut_off(
    paths: Paths, scorer: Scorer, whole_uv: np.ndarray, path: str
) -> None:
    marked = whole_uv[:700].copy()
    marked[300:328, LEADS.index("aVR")] = -32768
    (expected,) = scorer.score([{"signal": np.where(marked == -32768, np.nan, marked), **UV}])
    answer = paths.answer(path, np.pad(marked, ((150, 174), (0, 0))))
    assert flags(expected) == {"missing": ["aVR"]}
    assert flags(answer) == {"missing": ["aVR"], "ends_cut": []}
    details = {flag["flag"]: flag["detail"] for flag in answer["quality"]}
    assert details["missing"] == "28 samples at most, filled along straight lines"
    assert "150 samples (1.5 s) at the beginning, 174 samples (1.74 s) at the end" in details["ends_cut"]
    assert close(answer, expected)


def test_a_table_of_a_notebook_is_read_alike(loaded: Any, scorer: Scorer, whole_uv: np.ndarray) -> None:
    marked = whole_uv.copy()
    marked[400:420, 3] = -32768
    padded = np.pad(marked[:700], ((0, 300), (0, 0)))
    noticed = {"checksum_mismatch": ["V2"]}
    rows = pd.DataFrame(
        [{"signal": signal, "noticed": told, **UV} for signal, told in ((marked, None), (padded.tolist(), noticed))]
    )
    first, second = loaded.predict(rows)
    assert flags(first) == {"missing": ["aVR"]}
    assert flags(second) == {"missing": ["aVR"], "checksum_mismatch": ["V2"], "ends_cut": []}
    (expected,) = scorer.score([{"signal": marked[:700], **UV}])
    assert close(second, expected)


ENDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "zeros before": lambda mv: np.pad(mv, ((300, 0), (0, 0))),
    "zeros behind": lambda mv: np.pad(mv, ((0, 24), (0, 0))),
    "another value for each lead": lambda mv: np.concatenate([np.tile(np.linspace(-2, 2, 12), (50, 1)), mv]),
    "the last sample again and again": lambda mv: np.pad(mv, ((0, 200), (0, 0)), mode="edge"),
    "the first sample again and again": lambda mv: np.pad(mv, ((200, 0), (0, 0)), mode="edge"),
    "nothing": lambda mv: np.pad(mv, ((70, 90), (0, 0)), constant_values=np.nan),
    "nothing, and zeros before it": lambda mv: np.pad(
        np.pad(mv, ((0, 90), (0, 0))), ((0, 70), (0, 0)), constant_values=np.nan
    ),
    "zeros, and nothing in one lead": lambda mv: np.concatenate(
        [mv, np.where(np.arange(12) == 4, np.nan, np.zeros((90, 12)))]
    ),
    "more than ten seconds of zeros": lambda mv: np.pad(mv, ((1200, 2000), (0, 0))),
}


@pytest.mark.parametrize("ends", ENDS)
def test_whatever_the_ends_hold_the_answer_is_that_of_the_recording(
    scorer: Scorer, ecg_mv: np.ndarray, ends: str
) -> None:
    alone = ecg_mv[:742]
    (expected,) = scorer.score([{"signal": alone, "fs_hz": 100}])
    (answer,) = scorer.score([{"signal": ENDS[ends](alone), "fs_hz": 100}])
    assert flags(answer) == flags(expected) | {"ends_cut": []}
    assert answer | {"quality": []} == expected | {"quality": []}


def test_short_quiet_ends_are_the_recordings_own(scorer: Scorer, ecg_mv: np.ndarray) -> None:
    quiet = ecg_mv.copy()
    quiet[:15] = quiet[15]
    quiet[-15:] = quiet[-16]
    (answer,) = scorer.score([{"signal": quiet, "fs_hz": 100}])
    assert "ends_cut" not in flags(answer)


@pytest.mark.parametrize(
    ("signal_of", "code"),
    [
        (lambda mv: 0 * mv, "flat_line"),
        (lambda mv: 0 * mv + np.linspace(-1, 1, 12), "flat_line"),
        (lambda mv: np.full_like(mv, np.nan), "missing_samples"),
        (lambda mv: np.full_like(mv, np.inf), "not_finite"),
        (lambda mv: np.concatenate([mv[:400], 0 * mv]), "wrong_length"),
        (lambda mv: np.concatenate([mv, np.full((100, 12), np.inf)]), "not_finite"),
        (lambda mv: np.tile(mv, (61, 1)), "wrong_length"),
    ],
)
def test_what_is_left_is_judged_as_ever(
    scorer: Scorer, ecg_mv: np.ndarray, signal_of: Callable[[np.ndarray], np.ndarray], code: str
) -> None:
    (answer,) = scorer.score([{"signal": signal_of(ecg_mv), "fs_hz": 100}])
    assert answer["error"]["code"] == code
    if "4.0 s" in answer["error"]["message"]:
        assert "without 1000 at the ends" in answer["error"]["message"]


def test_numbers_beyond_16_bits_have_no_mark_for_missing_samples(scorer: Scorer, ecg_mv: np.ndarray) -> None:
    """Nanovolts as 32-bit converters give them pass through that number."""
    nv = np.round(ecg_mv * 1e6).astype(np.int32)
    nv[500, 0] = -32768
    content = io.BytesIO()
    np.save(content, nv)
    read = read_ecg(content.getvalue(), name="rec.npy", fs_hz=100, units="nV", leads=LEADS)
    assert read.signal_mv is not None
    assert read.signal_mv[500, 0] == pytest.approx(-0.032768)
    wide = nv * 10
    wide[500, 0] = -32768
    (answer,) = scorer.score([{"signal": wide.tolist(), "fs_hz": 100, "units": "uV"}])
    assert answer["error"]["code"] == "wrong_units"


def test_a_mark_in_a_lead_that_is_upside_down_or_has_a_gain_is_one_too(whole_uv: np.ndarray) -> None:
    whole_uv[400:440, LEADS.index("aVR")] = -32768
    table = pd.DataFrame(whole_uv, columns=["-aVR" if name == "aVR" else name for name in LEADS])
    read = read_ecg(table.to_csv(index=False).encode(), name="a.csv", fs_hz=100, gain=1000)
    assert read.recording().missing == {"aVR": 40}


@pytest.fixture
def damaged(ecg_mv: np.ndarray, tmp_path: Path) -> Path:
    """A WFDB record of which lead V2 does not fit its checksum."""
    (tmp_path / "in").mkdir()
    file = tmp_path / "in" / "damaged.dat"
    write_wfdb(file, np.round(ecg_mv * 1000))
    samples = np.frombuffer(file.read_bytes(), "<i2").reshape(-1, 12).copy()
    samples[300:350, LEADS.index("V2")] = 1
    file.write_bytes(samples.tobytes())
    return file.with_suffix(".hea")


DAMAGED = {"flag": "checksum_mismatch", "leads": ["V2"]}


def noticed(answer: Answer) -> Answer:
    (flag,) = [flag for flag in answer["quality"] if flag["flag"] == "checksum_mismatch"]
    assert "may be damaged" in flag["detail"]
    return {"flag": flag["flag"], "leads": list(flag["leads"])}


def test_a_wrong_checksum_is_a_flag_wherever_it_is_asked(
    damaged: Path, package_folder: Path, tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for who in (["--model", str(package_folder)], ["--url", url]):
        assert main(["predict", str(damaged), *who]) == 0
        assert "quality: checksum mismatch in V2: " in capsys.readouterr().out
        assert main(["predict", str(damaged), "--json", *who]) == 0
        assert noticed(json.loads(capsys.readouterr().out)[0]["answer"]) == DAMAGED
    read = read_ecg(damaged)
    with Client(url) as client:
        for answer in client.score([read, read.recording(), read.array_row()]):
            assert noticed(answer) == DAMAGED
    done = score_batch(damaged.parent, tmp_path / "answers.parquet", package_folder, workers=1)
    assert noticed({"quality": pd.read_parquet(done.file)["quality"][0]}) == DAMAGED
