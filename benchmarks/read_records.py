"""How fast is verified reading? Every record of a PTB-XL tree, one process, page cache warm; a table of three ways.

- raw: open, read and close every header and signal file, nothing else
- verified: what Leadwise reads: checksum and initial value of each signal, lead names, units, markers of absent samples
- verified, hashed: the same and SHA-256 of every file and record, as ingestion does it
- wfdb: ``wfdb.rdsamp`` on records spread evenly over the tree, its time scaled to all records; most of it goes
  into looking up a pandas table while the header is parsed

    python benchmarks/read_records.py data/ptbxl
"""

import argparse
import hashlib
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from leadwise.contract import LEADS, StoredRate
from leadwise.datasets.tables import read_tables
from leadwise.datasets.waveforms import read_record, samples_at


def read_raw(tree: Path, filenames: Sequence[str], rate: StoredRate) -> None:
    """Read every file and forget it."""
    sizes = {".hea": 4096, ".dat": samples_at(rate) * len(LEADS) * 2 + 1}
    for filename in filenames:
        for extension, size in sizes.items():
            descriptor = os.open(f"{tree}/{filename}{extension}", os.O_RDONLY)
            os.read(descriptor, size)
            os.close(descriptor)


def read_verified(tree: Path, filenames: Sequence[str], rate: StoredRate, *, hashed: bool) -> None:
    """Read every record; ends the program if one cannot be read."""
    for filename in filenames:
        contents: dict[str, bytes] = {}
        signal = read_record(tree / filename, rate, contents)
        for content in (*contents.values(), signal.data) if hashed else ():
            hashlib.sha256(content).hexdigest()


def read_with_rdsamp(tree: Path, filenames: Sequence[str]) -> None:
    """The usual loop."""
    import wfdb

    for filename in filenames:
        wfdb.rdsamp(f"{tree}/{filename}")


def median_s(work: Callable[[], None], repetitions: int) -> float:
    """Median of the seconds that some work takes."""
    seconds = []
    for _ in range(repetitions):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tree", type=Path, help="a PTB-XL tree")
    parser.add_argument("--rate", type=int, choices=(100, 500), default=100, help="sampling rate in Hz")
    parser.add_argument("--repetitions", type=int, default=5, help="the median of so many is printed")
    parser.add_argument("--wfdb-records", type=int, default=1000, help="records that wfdb reads")
    options = parser.parse_args()
    tree, rate, repetitions = options.tree, options.rate, options.repetitions
    filenames = read_tables(tree, rate).filenames.tolist()
    places = np.linspace(0, len(filenames) - 1, min(options.wfdb_records, len(filenames))).astype(int)
    sample = [filenames[place] for place in places]

    read_raw(tree, filenames, rate)
    read_with_rdsamp(tree, sample[:10])
    raw = median_s(lambda: read_raw(tree, filenames, rate), repetitions)
    verified = median_s(lambda: read_verified(tree, filenames, rate, hashed=False), repetitions)
    hashed = median_s(lambda: read_verified(tree, filenames, rate, hashed=True), repetitions)
    wfdb_s = median_s(lambda: read_with_rdsamp(tree, sample), min(repetitions, 3)) * len(filenames) / len(sample)

    print(f"{tree}: {len(filenames):,} records at {rate} Hz, one process, Python {platform.python_version()}")
    print(f"median of {repetitions} repetitions; wfdb: {len(sample):,} records, median of 3, scaled to all")
    print(f"{'':<18}{'seconds':>9}{'us/record':>11}{'x raw':>8}{'wfdb takes':>13}")
    for name, seconds in (("raw", raw), ("verified", verified), ("verified, hashed", hashed), ("wfdb", wfdb_s)):
        each_us = seconds / len(filenames) * 1e6
        print(f"{name:<18}{seconds:>9.2f}{each_us:>11.1f}{seconds / raw:>8.2f}{wfdb_s / seconds:>11.1f} x")


if __name__ == "__main__":
    main()
