"""The recording on ECG paper with its answer below, and an explanation behind it."""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from leadwise.atomic import write_atomically
from leadwise.signals.readers import ReadECG


def write_figure(
    file: Path, read: ReadECG, facts: Mapping[str, Any], answer: Mapping[str, Any], explain: Sequence[str]
) -> None:
    """Draw a recording with its answer.

    Args:
        file: PNG, PDF or SVG, by its ending.
        read: the recording.
        facts: of the patient, beside what the file says.
        answer: to it.
        explain: the class whose explanation is drawn behind the traces, if the answer has it.
    """
    from leadwise.evaluation.ecg_figure import draw_ecg
    from leadwise.evaluation.explanation_figure import draw_explanation
    from leadwise.serving.payload import SEX_WORDS

    sex = facts.get("sex")
    known = dict(read.patient) | dict(facts) | ({"sex": SEX_WORDS.get(sex)} if isinstance(sex, str) else {})
    record = read.recording(known, read.file).record
    shown: dict[str, Any] = {"probabilities": answer["probabilities"], "thresholds": answer["thresholds"]}
    found = answer["explanations"].get(explain[0]) if explain else None
    if found is None:
        figure = draw_ecg(record, title=read.file, **shown)
    else:
        probability = answer["probabilities"][explain[0]]
        explanation = _explanation(explain[0], found, probability)
        figure = draw_explanation(record, explanation, probability=probability, title=read.file, **shown)
    drawn = io.BytesIO()
    figure.savefig(drawn, format=file.suffix[1:].lower())
    write_atomically(file, drawn.getvalue())


def _explanation(name: str, found: Mapping[str, Any], probability: float) -> Any:
    """An explanation as an answer holds it, turned back."""
    from leadwise.evaluation.explanation import Explanation

    packed = found["attribution"]
    attribution = np.frombuffer(base64.b64decode(packed["data"]), "<f4").reshape(packed["shape"])
    return Explanation(name, found["method"], probability, attribution, packed["fs_hz"], found["effects"])
