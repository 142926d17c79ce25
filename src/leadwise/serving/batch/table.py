"""What a table of answers holds: one row per recording, a column per class and figure."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from leadwise.contract import SUPERCLASSES

if TYPE_CHECKING:
    import pyarrow

BY_CLASS: Mapping[str, str] = {
    "probability": "probabilities",
    "threshold": "thresholds",
    "decision": "decisions",
    "uncertain": "uncertain",
}
"""Beginning of a column's name -> field of an answer; ``probability_MI`` is ``probabilities.MI``."""
AS_THEY_ARE = ("model", "registered_model", "version", "policy", "findings", "quality", "warnings")


def schema() -> "pyarrow.Schema":
    """The columns of a table of answers; ``docs/batch.md`` says what each holds."""
    import pyarrow as pa

    text, texts = pa.string(), pa.list_(pa.string())
    by_class = {"probability": pa.float64(), "threshold": pa.float64(), "decision": pa.bool_(), "uncertain": pa.bool_()}
    finding = {"code": text, "description": text, "group": text, "probability": pa.float64(), "threshold": pa.float64()}
    window = {"start_s": pa.float64(), "end_s": pa.float64()} | {name: pa.float64() for name in SUPERCLASSES}
    return pa.schema(
        [
            pa.field("file", text),
            pa.field("id", text),
            pa.field("format", text),
            pa.field("fs_hz", pa.float64()),
            pa.field("seconds", pa.float64()),
            *(pa.field(name, text) for name in ("model", "registered_model", "version", "policy")),
            *(pa.field(f"{kind}_{name}", type_) for kind, type_ in by_class.items() for name in SUPERCLASSES),
            pa.field("findings", pa.list_(pa.struct(list((finding | {"reported": pa.bool_()}).items())))),
            pa.field("windows", pa.list_(pa.struct(list(window.items())))),
            pa.field("quality", pa.list_(pa.struct([("flag", text), ("leads", texts), ("detail", text)]))),
            pa.field("warnings", texts),
            pa.field("notes", texts),
            pa.field("error_code", text),
            pa.field("error_field", text),
            pa.field("error", text),
        ]
    )


def table_row(answer: Mapping[str, Any], read: Mapping[str, Any]) -> dict[str, Any]:
    """One answer, or what is wrong with the record, as a row; a column that does not apply is empty.

    Args:
        answer: of ``Scorer.answer_row``.
        read: ``file``, and of one that was read ``format``, ``fs_hz``, ``seconds`` and ``notes``.
    """
    row = {**read, "id": None if answer["id"] is None else str(answer["id"])}
    if "error" in answer:
        error = answer["error"]
        return row | {"error_code": error["code"], "error_field": error["field"], "error": error["message"]}
    row |= {name: answer[name] for name in AS_THEY_ARE}
    for kind, field in BY_CLASS.items():
        row |= {f"{kind}_{name}": answer[field][name] for name in SUPERCLASSES}
    row["windows"] = [
        {"start_s": window["start_s"], "end_s": window["end_s"]} | (window["probabilities"] or {})
        for window in answer["windows"]
    ]
    return row
