"""A format that is registered from outside."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leadwise.contract import LEADS
from leadwise.ecg.formats import ReaderError, read_ecg
from leadwise.ecg.formats.base import FORMATS, Channel, Format, RawRecording, ReadOptions

Make = Callable[..., Any]


def read_waves(file: str, files: Mapping[str, bytes], hints: ReadOptions) -> RawRecording:
    """A format of this test: a mark, the sampling rate, then int16 microvolts of twelve leads."""
    content = files[file]
    samples = np.frombuffer(content[10:], "<i2").reshape(-1, 12)
    rate = int(content[5:10])
    channels = (Channel(lead, column.astype(float), rate, "uV") for lead, column in zip(LEADS, samples.T, strict=True))
    return RawRecording("Waves", tuple(channels))


@pytest.fixture
def waves(monkeypatch: pytest.MonkeyPatch) -> Format:
    """The format, registered for one test."""
    one = Format("Waves", (".waves",), lambda content, name: content.startswith(b"WAVES"), read_waves)
    monkeypatch.setitem(FORMATS, one.name, one)
    return one


def test_a_format_registered_from_outside_is_read_searched_for_and_taken_by_the_page(
    ecg: Make, tmp_path: Path, waves: Format
) -> None:
    from leadwise.serving.batch_source import entries

    one = ecg(500)
    content = b"WAVES00500" + one.microvolts.astype("<i2").tobytes()
    (tmp_path / "some.waves").write_bytes(content)
    for read in (read_ecg(tmp_path / "some.waves"), read_ecg(content)):
        assert (read.format, read.fs_hz) == ("Waves", 500)
        np.testing.assert_allclose(read.signal_mv, one.mv, atol=2e-6)
    assert [entry["file"] for entry in entries(tmp_path)] == [str(tmp_path / "some.waves")]
    with pytest.raises(ReaderError, match=r"Waves \(\.waves\)"):
        read_ecg(b"nothing")


def test_the_page_takes_what_is_registered(ecg: Make, waves: Format) -> None:
    from streamlit.testing.v1 import AppTest

    def page() -> None:
        from leadwise.app.inputs import uploaded_case

        uploaded_case()

    content = b"WAVES00500" + ecg(500).microvolts.astype("<i2").tobytes()
    visit = AppTest.from_function(page, default_timeout=120).run()
    assert "Waves (.waves)" in visit.file_uploader(key="upload").help
    visit.file_uploader(key="upload").set_value(("some.waves", content, "application/octet-stream")).run()
    assert not visit.exception
    assert any("Waves" in shown.body for shown in visit.get("html"))
