"""EDF and EDF+, written by edfio."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from leadwise.contract import LEADS
from leadwise.ecg.formats import read_ecg

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def content(ecg: Make, write: Make) -> bytes:
    return write("edf", ecg(500, names=[f"EKG {lead}" for lead in LEADS]))


def patched(content: bytes, start: int, new: str, length: int = 8) -> bytes:
    """The file with another field in its header."""
    return content[:start] + new.encode("latin-1").ljust(length)[:length] + content[start + length :]


def test_other_signals_at_other_rates_are_left_out(ecg: Make, write: Make) -> None:
    one = ecg(500)
    read = read_ecg(write("edf", one, rate_of_last=25))
    np.testing.assert_allclose(read.signal_mv, one.mv, atol=1e-5)
    assert read.notes == ("Not used, as they are no standard leads: 'Resp'.",)


def test_a_file_that_is_cut_off_is_read_as_far_as_it_goes_and_noted(content: bytes) -> None:
    read = read_ecg(content[: len(content) - 2 * 12 * 500 * 2])
    assert read.samples == 8 * 500
    assert read.notes == ("10 data records are announced, 8 are there: the file may be cut off.",)
    assert read.noticed == {"file_incomplete": ()}


def test_units_that_the_file_leaves_open_are_asked_for(content: bytes, ecg: Make) -> None:
    start = 256 + 12 * (16 + 80)
    bare = content
    for signal in range(12):
        bare = patched(bare, start + 8 * signal, "")
    read = read_ecg(bare)
    (question,) = read.questions
    assert (question.field, question.suggestion, read.units_found) == ("units", "uV", "")
    np.testing.assert_allclose(read_ecg(bare, units="uV").signal_mv, ecg(500).mv, atol=1e-5)
    strange = patched(content, start + 8 * 3, "mmHg")
    (question,) = read_ecg(strange).questions
    assert "says 'mmHg', 'uV'" in question.text


def test_numbers_with_a_decimal_comma_are_read(content: bytes, ecg: Make) -> None:
    fields = {252: 4, 236: 8, 244: 8} | {256 + 12 * before + 8 * n: 8 for n in range(12) for before in (104, 112, 216)}
    with_comma = content
    for start, length in fields.items():
        text = content[start : start + length].decode().strip()
        changed = text.replace(".", ",") if "." in text else f"{text},0"
        with_comma = patched(with_comma, start, changed if len(changed) <= length else text, length)
    assert with_comma.count(b",") > 12
    read = read_ecg(with_comma)
    assert (read.fs_hz, read.notes, read.gain_per_mv) == (500, (), pytest.approx((1000,) * 12))
    np.testing.assert_allclose(read.signal_mv, ecg(500).mv, atol=1e-5)
    of_half_a_second = patched(content, 244, "0,5")
    assert read_ecg(of_half_a_second).fs_hz == 1000


def test_a_broken_number_of_a_signal_that_is_no_lead_does_no_harm(ecg: Make, write: Make) -> None:
    one = ecg(500)
    content = write("edf", one, rate_of_last=25)
    broken = patched(content, 256 + 13 * 104 + 8 * 12, "none")
    np.testing.assert_allclose(read_ecg(broken).signal_mv, one.mv, atol=1e-5)
