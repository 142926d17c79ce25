"""One part of a batch: some hundred recordings, read and scored by one process, written beside and renamed."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from leadwise.atomic import write_atomically
from leadwise.serving.batch.source import FILE, HINTS, Entry
from leadwise.serving.batch.table import schema, table_row
from leadwise.serving.parameters import Asked
from leadwise.serving.registered import registered_version
from leadwise.serving.scorer import Scorer
from leadwise.signals.readers import ReaderError, read_ecg

PART_KEY = b"leadwise.part"
"""In a part's metadata: the digest of what it is of and how it was scored."""
SCORED_TOGETHER = 16
"""Recordings whose windows go through the network together; more did not make it faster, and takes memory."""


@dataclass(frozen=True)
class PartTask:
    """What a process needs to know of one part.

    Attributes:
        list_file: JSON, a line per recording of all parts.
        offset: of the part's first line, in bytes.
        count: recordings.
        digest: of the lines and of how they are scored.
        file: where the answers go.
        package: folder of the networks.
        policy: which thresholds answer; ``None``: the package's.
        hints: what files that do not say it are taken to be, by name.
    """

    list_file: Path
    offset: int
    count: int
    digest: str
    file: Path
    package: Path
    policy: str | None
    hints: Mapping[str, Any]


def score_part(task: PartTask) -> None:
    """Score one part and write its file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    scorer = _scorer(task.package)
    asked = Asked(task.policy)
    columns = schema().with_metadata({PART_KEY: task.digest.encode()})
    with task.list_file.open("rb") as stream:
        stream.seek(task.offset)
        lines = (json.loads(line) for line in islice(stream, task.count))
        rows = [row for some in _chunks(lines, SCORED_TOGETHER) for row in _answered(scorer, some, asked, task.hints)]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=columns), sink, compression="zstd")
    write_atomically(task.file, sink.getvalue().to_pybytes())


@lru_cache(maxsize=1)
def _scorer(package: Path) -> Scorer:
    return Scorer.load(package, registered_version(package.parent))


def _chunks(lines: Iterator[Entry], size: int) -> Iterator[list[Entry]]:
    while some := list(islice(lines, size)):
        yield some


def _answered(
    scorer: Scorer, some: Sequence[Entry], asked: Asked, hints: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """A row of the table per recording."""
    read = [read_entry(entry, hints) for entry in some]
    rows = [row for row, _ in read if "error" not in row]
    answers = iter(scorer.answer_rows(rows, asked))
    for row, about in read:
        yield table_row(row if "error" in row else _without_position(next(answers)), about)


def read_entry(entry: Entry, hints: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The row of a request that an entry becomes, or an ``error`` as an answer has it; and what was read.

    Args:
        entry: of a source; what it says of the patient counts more than what the file says.
        hints: for files that do not say it; what the entry says counts more.
    """
    about: dict[str, Any] = {"file": entry.get(FILE)}
    facts = {name: value for name, value in entry.items() if name != FILE and name not in HINTS}
    if FILE not in entry:
        return facts, about
    given = dict(hints) | {name: entry[name] for name in HINTS if name in entry}
    if isinstance(given.get("leads"), str):
        given["leads"] = [name.strip() for name in given["leads"].split(",")]
    try:
        read = read_ecg(Path(entry[FILE]), **given)
        about |= {"format": read.format, "fs_hz": read.fs_hz, "seconds": read.seconds, "notes": list(read.notes)}
        return read.array_row() | {"id": read.file} | facts, about
    except ReaderError as error:
        told = {"code": "not_read", "field": error.field, "message": str(error)}
        return {"id": facts.get("id"), "error": told}, about


def _without_position(answer: dict[str, Any]) -> dict[str, Any]:
    """In a batch a row is told by its file: its place among those scored together says nothing."""
    if "error" not in answer:
        return answer
    error = answer["error"]
    return answer | {"error": error | {"message": error["message"].removeprefix(f"row {error['row']}: ")}}
