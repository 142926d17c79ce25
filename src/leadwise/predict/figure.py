"""The recording on ECG paper with its answer below, and an explanation behind it."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from leadwise.atomic import write_atomically
from leadwise.ecg.formats import ReadECG


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
    from leadwise.reports.ecg_figure import draw_ecg
    from leadwise.reports.explanation_figure import draw_explanation
    from leadwise.serving.explanations import explanation_told
    from leadwise.serving.request import SEX_WORDS

    sex = facts.get("sex")
    known = dict(read.patient) | dict(facts) | ({"sex": SEX_WORDS.get(sex)} if isinstance(sex, str) else {})
    record = read.recording(known, read.file).record
    shown: dict[str, Any] = {"probabilities": answer["probabilities"], "thresholds": answer["thresholds"]}
    explanation = explanation_told(answer, explain[0]) if explain else None
    if explanation is None:
        figure = draw_ecg(record, title=read.file, **shown)
    else:
        probability = explanation.probability
        figure = draw_explanation(record, explanation, probability=probability, title=read.file, **shown)
    drawn = io.BytesIO()
    figure.savefig(drawn, format=file.suffix[1:].lower())
    write_atomically(file, drawn.getvalue())
