"""Parquet read in a process of its own, started by ``leadwise.serving.parquet_process``.

Arrow's reader ends the whole process at some damaged files, and unpacks whatever a page says of itself; here that
costs nobody else, and memory is limited.
"""

import json
import struct
import sys
from typing import IO, TYPE_CHECKING

from leadwise.serving.envelope import refuse_count, refuse_size
from leadwise.serving.values import LARGEST_BODY, MOST_VALUES, RequestError

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

HEADER = struct.Struct("<?Q")
"""Of a message in either direction: whether all is well, and how many bytes follow."""
MEMORY_LIMIT = 8 * LARGEST_BODY
"""Bytes of memory beyond what the libraries themselves take."""


def main() -> None:
    """Answer bodies from standard input on standard output, until the input ends: Arrow IPC streams, or errors."""
    import pyarrow.parquet  # noqa: F401 - its memory is not counted

    _limit_memory()
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while (body := read_message(source)) is not None:
        try:
            answer = True, _as_stream(table_of_parquet(body[1]))
        except RequestError as error:
            answer = False, json.dumps([error.code, error.field, error.problem]).encode()
        write_message(sink, *answer)


def read_message(stream: IO[bytes]) -> tuple[bool, bytes] | None:
    """What the other side wrote; ``None`` where it has ended."""
    if len(header := stream.read(HEADER.size)) < HEADER.size:
        return None
    well, size = HEADER.unpack(header)
    content = stream.read(size)
    return (well, content) if len(content) == size else None


def write_message(stream: IO[bytes], well: bool, content: bytes) -> None:
    """Write what ``read_message`` reads."""
    stream.write(HEADER.pack(well, len(content)))
    stream.write(content)
    stream.flush()


def table_of_parquet(body: bytes) -> "pyarrow.Table":
    """The table, within the limits of a request even where it is packed tightly.

    Raises:
        RequestError: the body is not a Parquet table, has no rows, or is too large.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        metadata = pyarrow.parquet.read_metadata(pyarrow.BufferReader(body))
        texts = _text_columns(metadata)
        _refuse_many(metadata)
        # A text that many rows share stays one text.
        file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(body), read_dictionary=texts)
        table = file.read(use_threads=False).combine_chunks()
        table.validate(full=True)
    except RequestError:
        raise
    except Exception:
        # Whatever the reader stumbles over, its message may hold parts of the table.
        raise RequestError("not_parquet", "body", "not a Parquet table") from None
    return table


def _refuse_many(metadata: "pyarrow.parquet.FileMetaData") -> None:
    """Before anything is unpacked; the file's own summary says how much it holds."""
    refuse_count(metadata.num_rows, "body")
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    chunks = [group.column(place) for group in groups for place in range(group.num_columns)]
    refuse_size(sum(chunk.total_uncompressed_size for chunk in chunks))
    if sum(chunk.num_values for chunk in chunks) > MOST_VALUES:
        raise RequestError(
            "too_many_values", "body", f"more than {MOST_VALUES:,} values in lists; send signals in base64"
        )


def _text_columns(metadata: "pyarrow.parquet.FileMetaData") -> list[str]:
    columns = [metadata.schema.column(place) for place in range(metadata.num_columns)]
    return [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]


def _as_stream(table: "pyarrow.Table") -> bytes:
    import pyarrow

    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:
        return
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - a file of the system
        taken = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY_LIMIT, taken + MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
