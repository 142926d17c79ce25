"""One part of a batch: some hundred recordings, read and scored by one process, written beside and renamed."""

import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from leadwise.atomic import write_atomically
from leadwise.ecg.formats import ReaderError, read_ecg
from leadwise.serving.batch.source import FILE, HINTS, Entry
from leadwise.serving.batch.table import schema, table_row
from leadwise.serving.envelope import Asked
from leadwise.serving.scorer import RegisteredVersion, Scorer

READ_TOGETHER = 64
"""Recordings that are read, looked at, and go through the network together: four times as many as of a request, where
memory counts, are 4 % faster."""
PART_KEY = b"leadwise.part"
"""In a part's metadata: the digest of what it is of and how it was scored."""


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
        registered: the version that they were fetched as.
        policy: which thresholds answer; ``None``: the package's.
        hints: what files that do not say it are taken to be, by name.
    """

    list_file: Path
    offset: int
    count: int
    digest: str
    file: Path
    package: Path
    registered: RegisteredVersion | None
    policy: str | None
    hints: Mapping[str, Any]


def score_part(task: PartTask) -> None:
    """Score one part and write its file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    scorer = _scorer(task.package, task.registered)
    columns = schema().with_metadata({PART_KEY: task.digest.encode()})
    with task.list_file.open("rb") as stream:
        stream.seek(task.offset)
        entries = (json.loads(line) for line in islice(stream, task.count))
        rows = list(_answered(scorer, entries, Asked(task.policy), task.hints))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=columns), sink, compression="zstd")
    write_atomically(task.file, sink.getvalue().to_pybytes())


@lru_cache(maxsize=1)
def _scorer(package: Path, registered: RegisteredVersion | None) -> Scorer:
    return replace(Scorer.load(package, registered), together=READ_TOGETHER, side_by_side=False)


def _answered(
    scorer: Scorer, entries: Iterable[Entry], asked: Asked, hints: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """A row of the table per entry; files are read as the scorer asks for them."""
    waiting: deque[tuple[dict[str, Any], dict[str, Any]]] = deque()

    def read() -> Iterator[dict[str, Any]]:
        for entry in entries:
            waiting.append(read_entry(entry, hints))
            row, _ = waiting[-1]
            if "error" not in row:
                yield row

    for answer in scorer.answers(read(), asked):
        yield from _not_read(waiting)
        _, about = waiting.popleft()
        yield table_row(_without_position(answer), about)
    yield from _not_read(waiting)


def _not_read(waiting: deque[tuple[dict[str, Any], dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """The rows of those that stand before the next one that was read."""
    while waiting and "error" in waiting[0][0]:
        yield table_row(*waiting.popleft())


def read_entry(entry: Entry, hints: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The row of a request that an entry becomes, or an ``error`` as an answer has it; and what was read.

    Args:
        entry: of a source; what it says of the patient counts more than what the file says.
        hints: for files that do not say it; what the entry says counts more.
    """
    about: dict[str, Any] = {"file": _in_utf8(entry[FILE]) if FILE in entry else None}
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


def _in_utf8(path: str) -> str:
    """A path as a table can hold it: the name of a file may be any bytes."""
    return os.fsencode(path).decode("utf-8", errors="replace")


def _without_position(answer: dict[str, Any]) -> dict[str, Any]:
    """In a batch a row is told by its file: its place among those scored together says nothing."""
    if "error" not in answer:
        return answer
    error = answer["error"]
    return answer | {"error": error | {"message": error["message"].removeprefix(f"row {error['row']}: ")}}
