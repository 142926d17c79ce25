"""What PhysioNet publishes as PTB-XL: releases, addresses, the files that Leadwise needs, their sizes, the citation.

Imports nothing, so that the command line can show it at once.
"""

from collections.abc import Collection, Mapping

RELEASES: Mapping[str, Mapping[str, int]] = {
    "1.0.3": {
        "rows": 21_799, "patients": 18_869,
        "NORM": 9_514, "MI": 5_469, "STTC": 5_235, "CD": 4_898, "HYP": 2_649, "unlabelled": 411,
    },
    "1.0.1": {
        "rows": 21_837, "patients": 18_885,
        "NORM": 9_528, "MI": 5_486, "STTC": 5_250, "CD": 4_907, "HYP": 2_655, "unlabelled": 407,
    },
}  # fmt: skip
"""Release -> what is counted over all rows of its table, newest first."""

RATES_HZ: tuple[int, ...] = (100, 500)

SOURCES: tuple[str, ...] = (
    "https://physionet.org/files/ptb-xl/{release}/",
    "https://physionet-open.s3.amazonaws.com/ptb-xl/{release}/",
)
"""PhysioNet, then its public mirror on S3: each a folder that holds ``SHA256SUMS.txt`` and the files listed there."""

SUMS_FILE = "SHA256SUMS.txt"
REQUIRED_TABLES: tuple[str, ...] = ("ptbxl_database.csv", "scp_statements.csv")
SIMULATION_FILE = "simulation.json"
"""Marks a tree as simulated."""
ALSO_WANTED: tuple[str, ...] = ("LICENSE.txt", SIMULATION_FILE)
"""Fetched where they are listed: the licence, and the mark of a tree that is simulated, which must not get lost."""

LICENCE = "Creative Commons Attribution 4.0 (CC BY 4.0)"

CITATIONS: dict[str, str] = {
    "1.0.3": "Wagner, P., Strodthoff, N., Bousseljot, R., Samek, W., Schaeffter, T. (2022). PTB-XL, a large publicly "
    "available electrocardiography dataset (version 1.0.3). PhysioNet. doi:10.13026/kfzx-aw45",
    "1.0.1": "Wagner, P., Strodthoff, N., Bousseljot, R., Samek, W., Schaeffter, T. (2020). PTB-XL, a large publicly "
    "available electrocardiography dataset (version 1.0.1). PhysioNet. doi:10.13026/x4td-x982",
}
PAPERS: tuple[str, ...] = (
    "Wagner, P. et al. (2020). PTB-XL, a large publicly available electrocardiography dataset. Scientific Data 7:154. "
    "doi:10.1038/s41597-020-0495-6",
    "Goldberger, A. et al. (2000). PhysioBank, PhysioToolkit, and PhysioNet. Circulation 101(23):e215-e220.",
)


def needed_files(listed: Collection[str], rate_hz: int) -> list[str]:
    """Which of the listed files Leadwise reads: the tables and the licence first, then the records of one rate."""
    tables = [name for name in (*REQUIRED_TABLES, *ALSO_WANTED) if name in listed]
    return tables + sorted(name for name in listed if name.startswith(f"records{rate_hz}/"))


def listing_problem(listed: Collection[str], rate_hz: int, release: str | None) -> str | None:
    """Why a list of checksums is not that of PTB-XL at this rate (and of this release, if one is named)."""
    if absent := [name for name in REQUIRED_TABLES if name not in listed]:
        return f"lists no {' and no '.join(absent)}"
    records = sum(name.endswith(".hea") for name in needed_files(listed, rate_hz))
    if not records:
        return f"lists no record in records{rate_hz}/"
    other = next((name for name, counts in RELEASES.items() if counts["rows"] == records), release)
    if release and other != release:
        return f"lists the {records:,} records of release {other}, not of {release}"
    return None


def expected_size(name: str) -> int:
    """Bytes that a file takes on a disk, known from its place: signals have one length, headers fill one block."""
    if name.endswith(".hea"):
        return 4096
    if name.endswith(".dat"):
        return 122_880 if name.startswith("records500/") else 24_576
    return 8 * 2**20 if name == "ptbxl_database.csv" else 65_536
