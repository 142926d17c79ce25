"""A whole batch: the list of recordings, the parts that are missing, and the table they become."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leadwise import __version__
from leadwise.atomic import file_lock
from leadwise.contract import LeadwiseError
from leadwise.datasets.reading import run_in_processes
from leadwise.disk import naming
from leadwise.ecg.formats.wfdb_record import SIGNAL_ENDINGS
from leadwise.serving.batch.parts import PART_KEY, PartTask, score_part
from leadwise.serving.batch.source import FILE, entries
from leadwise.serving.batch.table import schema
from leadwise.serving.scorer import DESCRIPTION_FILE, RegisteredVersion, Scorer, registered_version

LIST_FILE = "recordings.jsonl"
WHOLE_KEY = b"leadwise.batch"
"""In the table's metadata: the digest of everything that it is of."""


class BatchError(LeadwiseError):
    """A batch cannot begin; the message names the parameter."""


@dataclass(frozen=True)
class Done:
    """What came of a batch.

    Attributes:
        file: the table of answers.
        records: rows in it.
        errors: rows that have an error.
        scored: records that were scored now; the others were whole from before.
    """

    file: Path
    records: int
    errors: int
    scored: int


def score_batch(
    source: Path,
    output: Path,
    package: Path,
    *,
    policy: str | None = None,
    workers: int = 0,
    part_records: int = 500,
    hints: Mapping[str, Any] | None = None,
) -> Done:
    """Score the recordings of a folder or table to a Parquet table; one row per recording, in the source's order.

    Parts lie in ``<output>.parts`` until all are whole. Started again after an interruption, with the same recordings
    and settings, only those parts are scored that are not; a table that is whole is left as it is.

    Args:
        source: a folder, or a table of files (``leadwise.serving.batch.source``).
        output: the table to write; ends with ``.parquet``.
        package: folder with ``model.json`` and the ONNX files that it names.
        policy: which thresholds answer; ``None``: the one that the model was registered with.
        workers: processes; 0: one per processor.
        part_records: recordings of one part.
        hints: ``fs_hz``, ``units``, ``gain``, ``leads`` or ``order`` of files that do not say it.

    Raises:
        SourceError: there is nothing to score.
        BatchError: ``policy`` or ``output`` is not allowed.
    """
    _check_output(source, output)
    if policy is not None and policy not in (allowed := Scorer.load(package).policies):
        raise BatchError(f"policy: received {policy!r}; allowed: {', '.join(allowed)}")
    how = How(package, registered_version(package.parent), policy, dict(hints or {}))
    parts = output.with_name(f"{output.name}.parts")
    with file_lock(output):
        tasks = _listed(source, parts, how, part_records)
        whole = hashlib.sha256("".join(task.digest for task in tasks).encode()).hexdigest()
        missing: list[PartTask] = []
        if _digest_of(output, WHOLE_KEY) != whole:
            missing = [task for task in tasks if _digest_of(task.file, PART_KEY) != task.digest]
            sizes = [task.count for task in missing]
            run_in_processes(score_part, missing, workers or len(os.sched_getaffinity(0)), sizes=sizes)
            _join(tasks, output, whole)
        shutil.rmtree(parts, ignore_errors=True)
    records, errors = _counts(output)
    return Done(output, records, errors, sum(task.count for task in missing))


def _check_output(source: Path, output: Path) -> None:
    """The answers must not be taken for recordings by the next run, nor take the place of what is asked about."""
    if output.suffix != ".parquet":
        raise BatchError(f"output: received {output.name}; a name that ends with .parquet is needed")
    if output.resolve() == source.resolve():
        raise BatchError(f"output: {output}: is the input; another name is needed")
    if source.is_dir() and output.resolve().is_relative_to(source.resolve()):
        raise BatchError(f"output: {output}: lies in the folder that is scored; a place outside of it is needed")


@dataclass(frozen=True)
class How:
    """Everything that decides an answer, beside the recordings.

    Attributes:
        package: folder of the networks.
        registered: the version that they were fetched as.
        policy: which thresholds answer.
        hints: for files that do not say it.
    """

    package: Path
    registered: RegisteredVersion | None
    policy: str | None
    hints: Mapping[str, Any]

    def digest(self) -> bytes:
        """Of the contents, not of where they lie: the networks are fetched to another place each time."""
        description = json.loads((self.package / DESCRIPTION_FILE).read_text(encoding="utf-8"))
        names = [DESCRIPTION_FILE, *(entry["file"] for entry in description["networks"].values())]
        networks = [hashlib.sha256((self.package / name).read_bytes()).hexdigest() for name in sorted(names)]
        version = [self.registered.name, self.registered.version] if self.registered else None
        told = [__version__, networks, version, self.policy, sorted(self.hints.items())]
        return hashlib.sha256(json.dumps(told).encode()).digest()


def _listed(source: Path, parts: Path, how: How, part_records: int) -> list[PartTask]:
    """Write the list of recordings and cut it into parts; a part is known by its lines and the state of its files."""
    parts.mkdir(parents=True, exist_ok=True)
    tasks: list[PartTask] = []
    beginning = how.digest()
    digest, offset, count, written = hashlib.sha256(beginning), 0, 0, 0

    def cut() -> None:
        file, lines = parts / f"part-{len(tasks):06d}.parquet", parts / LIST_FILE
        told = digest.hexdigest()
        tasks.append(PartTask(lines, offset, count, told, file, how.package, how.registered, how.policy, how.hints))

    with naming(parts / LIST_FILE), (parts / LIST_FILE).open("wb") as stream:
        for entry in entries(source):
            line = json.dumps(entry).encode() + b"\n"
            digest.update(line + _state(entry))
            stream.write(line)
            written += len(line)
            count += 1
            if count == part_records:
                cut()
                digest, offset, count = hashlib.sha256(beginning), written, 0
        if count:
            cut()
    return tasks


def _state(entry: Mapping[str, Any]) -> bytes:
    """Size and time of a file, and of the signals beside a header: what was repaired meanwhile is scored again."""
    if FILE not in entry:
        return b""
    stem, ending = os.path.splitext(entry[FILE])  # noqa: PTH122
    beside = [f"{stem}{other}" for other in ("", *SIGNAL_ENDINGS)] if ending.casefold() == ".hea" else []
    return b" ".join(map(_size_and_time, (entry[FILE], *beside)))


def _size_and_time(file: str) -> bytes:
    try:
        found = os.stat(file)  # noqa: PTH116
    except (OSError, ValueError):
        return b"-"
    return f"{found.st_size} {found.st_mtime_ns}".encode()


def _digest_of(file: Path, key: bytes) -> str | None:
    """What a table says that it is of; ``None`` where there is none that is whole."""
    import pyarrow
    import pyarrow.parquet as pq

    try:
        found = (pq.read_schema(file).metadata or {}).get(key)
    except (OSError, pyarrow.ArrowException):
        return None
    return None if found is None else found.decode()


def _join(tasks: list[PartTask], output: Path, whole: str) -> None:
    """All parts in one table, one after the other through memory."""
    import pyarrow.parquet as pq

    beside = tasks[0].file.with_name("whole.parquet")
    columns = schema().with_metadata({WHOLE_KEY: whole.encode()})
    with naming(output, beside):
        with pq.ParquetWriter(beside, columns, compression="zstd") as writer:
            for task in tasks:
                writer.write_table(pq.read_table(task.file).replace_schema_metadata(columns.metadata))
        os.replace(beside, output)


def _counts(output: Path) -> tuple[int, int]:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with pq.ParquetFile(output) as file:
        blocks = file.iter_batches(columns=["error_code"])
        errors = sum(pc.count(block.column(0), mode="only_valid").as_py() for block in blocks)
        return file.metadata.num_rows, errors
