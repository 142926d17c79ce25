"""Records as the bodies of requests: as many at a time as one request may hold."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from leadwise.serving.limits import LARGEST_BODY
from leadwise.serving.payload import Answer, PayloadError, RecordId, record_id_of
from leadwise.serving.request_rows import request_row

LARGEST_ROW = LARGEST_BODY - 2**16
"""Bytes of the rows of a request; the rest is for what stands around them."""


def batches(records: Iterable[Any], most: int, answers: list[Answer]) -> Iterator[list[tuple[int, bytes]]]:
    """Rows as JSON with their positions, as many at a time as one request may hold.

    ``answers`` grows by one entry per record; what cannot be sent has its error there.
    """
    batch: list[tuple[int, bytes]] = []
    size = 0
    for position, record in enumerate(records):
        answers.append({})
        try:
            # Numbers that JSON does not know are the server's to refuse.
            row = json.dumps(request_row(record, position)).encode()
        except PayloadError as error:
            answers[position] = error.answer(record_id_of(record))
            continue
        except (TypeError, ValueError):
            problem = PayloadError(position, "record", "a field holds what JSON does not know", "wrong_type")
            answers[position] = problem.answer(record_id_of(record))
            continue
        if len(row) > LARGEST_ROW:
            answers[position] = _too_large(record_id_of(record), position, len(row))
            continue
        if batch and (len(batch) == most or size + len(row) > LARGEST_ROW):
            yield batch
            batch, size = [], 0
        batch.append((position, row))
        size += len(row) + 2
    if batch:
        yield batch


def _too_large(record_id: RecordId | None, position: int, size: int) -> Answer:
    allowed = f"{LARGEST_BODY // 2**20} MiB at most can be sent; an int16 array takes half as much"
    message = f"row {position}: signal: is {size / 2**20:.1f} MiB as text; {allowed}"
    return {
        "id": record_id,
        "error": {"code": "too_large", "field": "signal", "message": message, "row": position},
    }


def at_its_place(answer: Answer, position: int) -> Answer:
    """An error tells the record's place among all, not in its request."""
    error = answer.get("error")
    if not isinstance(error, dict):
        return answer
    old, message = error.get("row"), str(error.get("message"))
    renamed = message.replace(f"row {old}:", f"row {position}:", 1) if message.startswith(f"row {old}:") else message
    return answer | {"error": error | {"row": position, "message": renamed}}
