"""Many records at once: the same answer as one by one, whatever is wrong with some of them."""

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadwise.contract import LEADS, StoredRate
from leadwise.datasets.blocks import Block, BlockReader
from leadwise.datasets.waveforms import UnreadableRecord, read_record, read_with_wfdb


def write_record(tree: Path, number: int, signal: np.ndarray, **changes: object) -> str:
    """Write a record the way PTB-XL does, apart from the changes; its name below the tree."""
    described: dict = {
        "fs": len(signal) // 10,
        "units": ["mV"] * 12,
        "sig_name": [lead.upper() for lead in LEADS],
        "fmt": ["16"] * 12,
        "adc_gain": [1000.0] * 12,
        "baseline": [0] * 12,
    }
    folder = tree / "records" / "00000"
    folder.mkdir(parents=True, exist_ok=True)
    wfdb.wrsamp(f"{number:05d}", d_signal=signal, write_dir=str(folder), **(described | changes))
    return f"records/00000/{number:05d}"


def microvolts(seed: int, rate: int = 100) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1500, 1500, (10 * rate, 12))


def read_block(tree: Path, names: list[str], rate: StoredRate = 100) -> tuple[Block, np.ndarray]:
    out = np.zeros((len(names), 10 * rate, 12), dtype="<i2")
    return BlockReader(tree, rate).read(names, out), out


def read_or_reason(record: Path, rate: StoredRate) -> np.ndarray | UnreadableRecord:
    try:
        return read_record(record, rate)
    except UnreadableRecord as error:
        return error


def assert_like_one_by_one(tree: Path, names: list[str], rate: StoredRate = 100) -> Block:
    """Compare a block with ``read_record``: the samples, or the reason; and the hashes with the files."""
    block, out = read_block(tree, names, rate)
    for row, name in enumerate(names):
        expected = read_or_reason(tree / name, rate)
        problem = block.problems[row]
        if isinstance(expected, UnreadableRecord):
            assert (str(problem), type(problem)) == (str(expected), type(expected))
            assert block.hashes[row] == ""
        else:
            assert problem is None, name
            np.testing.assert_array_equal(out[row], expected, err_msg=name)
            assert block.hashes[row] == hashlib.sha256(expected.astype("<i2").tobytes()).hexdigest()
        there = {file: tree / file for file in (f"{name}.hea", f"{name}.dat") if (tree / file).is_file()}
        assert there.keys() <= block.files[row].keys()
        for file, found in block.files[row].items():
            assert found == hashlib.sha256((tree / file).read_bytes()).hexdigest()
    return block


def test_records_of_the_simulated_tree_are_read_as_one_by_one(simulated_tree):
    names = pd.read_csv(simulated_tree / "ptbxl_database.csv")["filename_lr"].tolist()[:60]
    block = assert_like_one_by_one(simulated_tree, names)
    assert block.problems == [None] * 60


@pytest.mark.real
def test_real_records_are_read_as_wfdb_reads_them(ptbxl_tree):
    names = pd.read_csv(ptbxl_tree / "ptbxl_database.csv")["filename_lr"].tolist()
    block, out = read_block(ptbxl_tree, names)
    assert block.problems == [None] * 440
    for row in range(0, 440, 7):
        np.testing.assert_array_equal(out[row], read_with_wfdb(ptbxl_tree / names[row]))
        np.testing.assert_allclose(out[row] / 1000, wfdb.rdsamp(str(ptbxl_tree / names[row]))[0], atol=1e-9)


@pytest.mark.parametrize("rate", [100, 500])
def test_any_mixture_of_layouts_is_read_exactly(tmp_path, rate):
    order = np.random.default_rng(1).permutation(12)
    layouts: list[dict] = [
        {},
        {"adc_gain": [200.0] * 12, "baseline": [-3] * 12},
        {"sig_name": [LEADS[place] for place in order]},
        {"fmt": ["212"] * 12},
        {"comments": ["100 % made by hand", "%d"]},
        {"units": ["uV"] * 12, "adc_gain": [1.0] * 12},
    ]
    names = [
        write_record(tmp_path, number, microvolts(number, rate), **layouts[number % len(layouts)])
        for number in range(3 * len(layouts))
    ]
    block = assert_like_one_by_one(tmp_path, names, rate)
    assert block.problems == [None] * len(names)


def test_every_damage_is_found_in_the_middle_of_good_records(tmp_path):
    names = [write_record(tmp_path, number, microvolts(number)) for number in range(14)]
    file = {number: tmp_path / f"{name}.dat" for number, name in enumerate(names)}
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
    write_record(tmp_path, 10, unmeasured)
    file[11].unlink()
    file[11].mkdir()
    file[12].write_bytes(b"")
    block = assert_like_one_by_one(tmp_path, names)
    reasons = {number: problem.reason for number, problem in enumerate(block.problems) if problem is not None}
    expected = {
        2: "has 23999 bytes",
        3: "has more than 24000 bytes",
        4: "lead AVR: checksum",
        5: "'00006'; '00005' is needed",
        6: "00006.dat does not exist",
        7: "00007.hea does not exist",
        8: "longer than 100000 bytes",
        9: "lead I: checksum",
        10: "lead V2: 3 samples are marked as not measured",
        11: "directory",
        12: "has 0 bytes",
    }
    assert reasons.keys() == expected.keys()
    for number, words in expected.items():
        assert words in reasons[number]


def test_errors_that_cancel_in_the_checksum_are_found_by_the_first_sample(tmp_path):
    names = [write_record(tmp_path, number, microvolts(number)) for number in range(3)]
    signal = microvolts(1).astype("<i2")
    signal[0, 4] += 1
    signal[1, 4] -= 1
    (tmp_path / f"{names[1]}.dat").write_bytes(signal.tobytes())
    block, _ = read_block(tmp_path, names)
    assert [problem is None for problem in block.problems] == [True, False, True]
    assert "lead AVL: first sample" in str(block.problems[1])


def test_a_pipe_in_the_place_of_a_file_does_not_hang(tmp_path):
    names = [write_record(tmp_path, number, microvolts(number)) for number in range(2)]
    (tmp_path / f"{names[1]}.dat").unlink()
    os.mkfifo(tmp_path / f"{names[1]}.dat")
    block, _ = read_block(tmp_path, names)
    assert "has 0 bytes" in str(block.problems[1])
    assert block.files[1].keys() == {f"{names[1]}.hea"}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of two records in the layout of PTB-XL. Read only."""
    tree = tmp_path_factory.mktemp("pair")
    for number in range(2):
        write_record(tree, number, microvolts(number))
    return tree


@given(
    st.lists(st.tuples(st.integers(0, 700), st.binary(max_size=3)), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 23_999), st.integers(0, 7)), max_size=2),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_damage_the_answer_is_that_of_the_slow_way(pair, tmp_path, header_damage, bits):
    tree = Path(shutil.copytree(pair, tmp_path / "tree", dirs_exist_ok=True))
    names = ["records/00000/00000", "records/00000/00001"]
    header, data = tree / f"{names[1]}.hea", tree / f"{names[1]}.dat"
    raw = header.read_bytes()
    for place, new in header_damage:
        raw = raw[:place] + new + raw[place + 1 :]
    header.write_bytes(raw)
    samples = bytearray(data.read_bytes())
    for place, bit in bits:
        samples[place] ^= 1 << bit
    data.write_bytes(samples)
    # The first record teaches the reader the layout that the second is compared with.
    assert_like_one_by_one(tree, names)


@given(
    leads=st.permutations(range(12)),
    gain=st.sampled_from(["1000.0(0)/mV", "1000/mV", "200(5)/mV", "1000", "1e3(0)/mV", "0.2/uV", "1000000(0)/V"]),
    comment=st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=12),
    line_end=st.sampled_from(["\n", "\r\n"]),
    signed=st.booleans(),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_header_of_format_16_is_read_alike_by_all_three_ways(tmp_path, leads, gain, comment, line_end, signed):
    names = []
    for number in range(3):
        signal = (microvolts(number) // 5).astype("<i2")
        lines = [f"{number:05d} 12 100 1000"]
        for column, lead in enumerate(leads):
            checksum = int(signal[:, column].astype(np.int64).sum()) % 65536
            checksum -= 65536 if signed and checksum > 32767 else 0
            lines.append(f"{number:05d}.dat 16 {gain} 16 0 {signal[0, column]} {checksum} 0 {LEADS[lead]}")
        lines.append(f"#{comment}")
        (tmp_path / f"{number:05d}.hea").write_bytes((line_end.join(lines) + line_end).encode("latin-1"))
        (tmp_path / f"{number:05d}.dat").write_bytes(signal.tobytes())
        names.append(f"{number:05d}")
    block = assert_like_one_by_one(tmp_path, names)
    assert block.problems == [None] * 3
    if comment.isascii():
        for name in names:
            np.testing.assert_array_equal(read_record(tmp_path / name), read_with_wfdb(tmp_path / name))
