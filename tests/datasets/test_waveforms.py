"""One WFDB record: read exactly, or refused with the reason."""

import os
import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadwise.contract import LEADS, StoredRate
from leadwise.datasets.reading import MISSING, READ, UNREADABLE, read_signals
from leadwise.datasets.waveforms import UnreadableRecord, read_record


def microvolts(seed: int = 0, rate: int = 100) -> np.ndarray:
    """A recording whose every lead is different, (10 * rate, 12) int64."""
    return np.random.default_rng(seed).integers(-1500, 1500, (10 * rate, 12))


def write_record(folder: Path, signal: np.ndarray, **changes: object) -> Path:
    """Write a record the way PTB-XL does, apart from the changes."""
    described: dict = {
        "fs": len(signal) // 10,
        "units": ["mV"] * signal.shape[1],
        "sig_name": [lead.upper() for lead in LEADS[: signal.shape[1]]],
        "fmt": ["16"] * signal.shape[1],
        "adc_gain": [1000.0] * signal.shape[1],
        "baseline": [0] * signal.shape[1],
    }
    name = str(changes.pop("name", "00001_lr"))
    wfdb.wrsamp(name, d_signal=signal, write_dir=str(folder), **(described | changes))
    return folder / name


def read_with_wfdb(record: Path) -> np.ndarray:
    """The record as the ``wfdb`` package reads it, in microvolts, leads in the usual order."""
    read = wfdb.rdrecord(str(record))
    factor = [{"mV": 1e3, "uV": 1.0, "V": 1e6}[unit] for unit in read.units]
    order = [[name.upper() for name in read.sig_name].index(lead.upper()) for lead in LEADS]
    return np.rint(np.round(read.p_signal * factor, 6))[:, order]


def edit_header(record: Path, old: str, new: str, count: int = -1) -> None:
    header = record.with_suffix(".hea")
    text = header.read_text()
    assert old in text
    header.write_text(text.replace(old, new, count))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record in the layout of PTB-XL. Read only."""
    return write_record(tmp_path_factory.mktemp("plain"), microvolts())


@pytest.mark.real
def test_both_ways_of_reading_agree_exactly_on_ptbxl(ptbxl_tree):
    filenames = pd.read_csv(ptbxl_tree / "ptbxl_database.csv")["filename_lr"]
    assert len(filenames) == 440
    for filename in filenames[::5]:
        record = ptbxl_tree / filename
        np.testing.assert_array_equal(read_record(record), read_with_wfdb(record), err_msg=filename)


@pytest.mark.parametrize("rate", [100, 500])
def test_both_ways_of_reading_agree_whatever_order_gain_and_unit(tmp_path, rate: StoredRate):
    rng = np.random.default_rng(rate)
    order = rng.permutation(12)
    record = write_record(
        tmp_path,
        microvolts(3, rate)[:, order],
        sig_name=[LEADS[place] for place in order],
        units=["mV", "uV", "V"] * 4,
        adc_gain=[
            float(gain) for gain in rng.choice([200.0, 500.0, 1000.0], 4) for gain in (gain, gain / 1e3, gain * 1e3)
        ],
        baseline=[int(zero) for zero in rng.integers(-40, 40, 12)],
    )
    fast = read_record(record, rate)
    assert fast.shape == (10 * rate, 12)
    np.testing.assert_array_equal(fast, read_with_wfdb(record))


def test_a_voltage_that_cannot_be_stored_is_refused_in_a_wider_format(tmp_path):
    units = microvolts()
    units[17, 4] = 40_000
    with pytest.raises(UnreadableRecord, match=r"lead AVL: 40 mV; at most 32\.767"):
        read_record(write_record(tmp_path, units, fmt=["32"] * 12))


@pytest.mark.parametrize("fmt", ["212", "24", "32", "80"])
def test_other_formats_are_read_by_wfdb(tmp_path, fmt):
    units = microvolts() // (100 if fmt == "80" else 1)
    np.testing.assert_array_equal(read_record(write_record(tmp_path, units, fmt=[fmt] * 12)), units)


def test_a_checksum_may_have_a_sign_and_lines_may_end_as_on_windows(tmp_path):
    record = write_record(tmp_path, microvolts())
    header = record.with_suffix(".hea").read_bytes().replace(b"\n", b"\r\n")
    for checksum in {line.split()[6] for line in header.splitlines()[1:] if int(line.split()[6]) > 32767}:
        header = header.replace(b" %b 0 " % checksum, b" %d 0 " % (int(checksum) - 65536))
    assert b" -" in header
    record.with_suffix(".hea").write_bytes(header)
    np.testing.assert_array_equal(read_record(record), microvolts())


def test_two_errors_that_cancel_in_the_checksum_are_found_by_the_first_sample(tmp_path):
    record = write_record(tmp_path, microvolts())
    signal = microvolts().astype("<i2")
    signal[0, 4] += 1
    signal[1, 4] -= 1
    record.with_suffix(".dat").write_bytes(signal.tobytes())
    with pytest.raises(UnreadableRecord, match="lead AVL: first sample"):
        read_record(record)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("12 100 1000", "12 500 1000", "fs 500"),
        ("12 100 1000", "11 100 1000", "n_sig 11; 12 is needed"),
        ("12 100 1000", "12 100 2000", "sig_len 2000"),
        ("00001_lr.dat", "../../../etc/passwd", "a file beside the header is needed"),
        ("00001_lr.dat", "/etc/passwd", "a file beside the header is needed"),
        (" V6", " X", "needed: I, II"),
        (" V6", " V5", "needed: I, II"),
        ("/mV", "/furlong", "unit 'furlong'"),
        ("1000.0(0)/mV", "0", "lead I: the header gives no gain"),
        ("1000.0(0)", "1.0(0)", "mV; at most 32.767"),
        ("00001_lr 12", "00001_lr/2 12", "needed|segments|cannot read"),
    ],
)
def test_a_header_that_does_not_fit_is_refused_with_the_reason(tmp_path, old, new, reason):
    record = write_record(tmp_path, microvolts())
    edit_header(record, old, new)
    with pytest.raises(UnreadableRecord, match=reason):
        read_record(record)


@given(
    st.lists(st.tuples(st.integers(0, 700), st.binary(max_size=3)), max_size=4),
    st.lists(st.tuples(st.integers(0, 23_999), st.integers(0, 7)), max_size=2),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_damage_the_answer_is_that_of_wfdb_or_a_refusal(plain, tmp_path, damage, bits):
    record = tmp_path / plain.name
    raw, samples = plain.with_suffix(".hea").read_bytes(), bytearray(plain.with_suffix(".dat").read_bytes())
    for place, new in damage:
        raw = raw[:place] + new + raw[place + 1 :]
    for place, bit in bits:
        samples[place] ^= 1 << bit
    record.with_suffix(".hea").write_bytes(raw)
    record.with_suffix(".dat").write_bytes(samples)
    try:
        signal = read_record(record)
    except UnreadableRecord:
        return
    assert signal.shape == (1000, 12)
    np.testing.assert_array_equal(signal, read_with_wfdb(record))


def test_every_damage_is_found_in_the_middle_of_good_records(tmp_path):
    records = [write_record(tmp_path, microvolts(number), name=f"{number:05d}") for number in range(14)]
    file = [record.with_suffix(".dat") for record in records]
    file[2].write_bytes(file[2].read_bytes()[:-1])
    file[3].write_bytes(file[3].read_bytes() + b"\0\0")
    flipped = bytearray(file[4].read_bytes())
    flipped[1207] ^= 4
    file[4].write_bytes(flipped)
    shutil.copy(file[6].with_suffix(".hea"), file[5].with_suffix(".hea"))
    file[6].unlink()
    file[7].with_suffix(".hea").unlink()
    file[8].with_suffix(".hea").write_bytes(b"x" * 10_000_000)
    swapped = np.frombuffer(file[9].read_bytes(), "<i2").reshape(1000, 12)[:, [1, 0, *range(2, 12)]]
    file[9].write_bytes(swapped.tobytes())
    unmeasured = microvolts(10)
    unmeasured[400:403, 7] = -32768
    write_record(tmp_path, unmeasured, name="00010")
    file[11].unlink()
    file[11].mkdir()
    file[12].write_bytes(b"")
    file[13].unlink()
    os.mkfifo(file[13])
    reading = read_signals(tmp_path, range(14), [record.name for record in records], tmp_path / "signals.npy")
    expected = {
        2: "has 23999 bytes",
        3: "has more than 24000 bytes",
        4: "lead AVR: checksum",
        5: "'00006'; '00005' is needed",
        6: "00006.dat does not exist",
        7: "00007.hea does not exist",
        8: "longer than",
        9: "lead I: checksum",
        10: "lead V2: 3 samples are marked as not measured",
        11: "00011.dat: file: is no regular file",
        12: "has 0 bytes",
        13: "00013.dat: file: is no regular file",
    }
    for number, (status, reason) in enumerate(zip(reading.summary["status"], reading.summary["reason"], strict=True)):
        assert status == (MISSING if number in (6, 7) else UNREADABLE if number in expected else READ)
        assert expected.get(number, "") in (reason or "")
    there = {path.name: path for path in tmp_path.iterdir() if path.is_file() and path.suffix != ".npy"}
    assert reading.files == {name: sha256(path.read_bytes()).hexdigest() for name, path in there.items()}
    np.testing.assert_array_equal(np.load(tmp_path / "signals.npy"), [microvolts(0), microvolts(1)])
