"""Read each file, have it answered here or by a server, and tell what came of it."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from leadwise.contract import DISCLAIMER, SUPERCLASS_NAMES, SUPERCLASSES, LeadwiseError
from leadwise.ecg.formats import MissingField, ReadECG, ReaderError, read_ecg
from leadwise.features import FEATURES
from leadwise.serving.batch_source import HINTS
from leadwise.serving.request import message_of

UNDERSTOOD = ("format", "seconds", "fs_hz", "leads", "leads_found", "units_found", "units_how", "notes")
"""What of a file is told in JSON."""
_NAME_WIDTH = 5 + max(map(len, SUPERCLASS_NAMES.values()))


def understood_text(read: ReadECG) -> str:
    """One line on what the file holds, and one per note."""
    parts = [read.format]
    if read.seconds is not None:
        parts.append(f"{read.seconds:.4g} s at {read.fs_hz:g} Hz")
    parts += [f"{len(read.leads)} leads", read.units_how.rstrip(".")]
    patient = ", ".join(f"{name} {fact_text(name, value)}" for name, value in read.patient.items())
    lines = [f"{read.file}: {', '.join(filter(None, parts))}"]
    if patient:
        lines.append(f"  the file says: {patient}")
    return "\n".join([*lines, *(f"  note: {note}" for note in read.notes)])


def fact_text(name: str, value: float | str) -> str:
    """A fact of the patient in words."""
    return value if isinstance(value, str) else FEATURES[name].text(value)


def answer_lines(answer: Mapping[str, Any]) -> Iterator[str]:
    """An answer: flags of quality and warnings first, then the classes and the findings."""
    for flag in answer["quality"]:
        leads = f" in {', '.join(flag['leads'])}" if flag["leads"] else ""
        yield f"quality: {flag['flag'].replace('_', ' ')}{leads}: {flag['detail']}"
    for warning in answer["warnings"]:
        yield f"warning: {warning}"
    yield f"{'class':<{_NAME_WIDTH}}  probability  threshold  decision"
    for name in SUPERCLASSES:
        decision = "yes" if answer["decisions"][name] else "no"
        doubt = ", uncertain" if answer["uncertain"][name] else ""
        yield (
            f"{f'{name:<5}{SUPERCLASS_NAMES[name]}':<{_NAME_WIDTH}}  {answer['probabilities'][name]:>11.1%}  "
            f"{answer['thresholds'][name]:>9.1%}  {decision}{doubt}"
        )
    for finding in answer["findings"]:
        yield f"finding: {finding['code']:<8} {finding['description']} {finding['probability']:.1%}"
    for window in answer["windows"]:
        found = ", ".join(f"{name} {value:.1%}" for name, value in (window["probabilities"] or {}).items())
        yield f"{window['start_s']:g} to {window['end_s']:g} s: {found or 'no ECG'}"
    for name, explanation in answer["explanations"].items():
        yield f"why {name} (log-odds): {_why(explanation['effects'])}"
    version = answer["version"]
    registered = f"{answer['registered_model']} version {version}" if version else "a model that is not registered"
    yield f"answered by {registered} ({answer['model']}), thresholds: {answer['policy']}"


def _why(effects: Mapping[str, Mapping[str, float]]) -> str:
    """The three waves that add most, and the one that takes most away, in log-odds."""
    pieces = sorted(
        ((value, f"{wave} in {lead} {value:+.2f}") for wave, leads in effects.items() for lead, value in leads.items()),
        reverse=True,
    )
    for_it = [text for value, text in pieces[:3] if value > 0]
    against = [text for value, text in pieces[-1:] if value < 0]
    return "; ".join([*for_it, *against]) or "nothing stands out"


Answer = dict[str, Any]
Ask = Callable[[dict[str, Any]], Answer]


def predict(
    files: Sequence[Path],
    *,
    url: str | None,
    model: str | None,
    policy: str | None,
    explain: Sequence[str],
    figure: Path | None,
    as_json: bool,
    facts: Mapping[str, Any],
    hints: Mapping[str, Any],
) -> int:
    """Answer every file on standard output; one that cannot be answered gets a sentence on standard error.

    Args:
        files: of one recording each.
        url: of a scoring server; ``None``: answered here.
        model: as ``leadwise.registry.load.load_scorer`` takes it.
        policy: which thresholds answer.
        explain: classes to explain.
        figure: where to draw the recording with its answer.
        as_json: one JSON list in place of the text.
        facts: of the patient, of every file; what a file says of itself counts less.
        hints: what a file may not say: ``fs_hz``, ``units``, ``gain``, ``leads``, ``order``.

    Returns:
        The exit status: 1 if a file was not answered, else 0.

    Raises:
        LeadwiseError: nothing can be answered: an option is not allowed, there is no model, or no server.
    """
    _check(files, explain, figure)
    if url is not None and model is not None:
        raise LeadwiseError("--model: is for answers without a server; leave it out with --url")
    told, failed = [], False
    with _asker(url, model, policy, explain) as ask:
        for file in files:
            entry: dict[str, Any] = {"file": str(file)}
            told.append(entry)
            try:
                read = _with_overrides(read_ecg(file, **hints), facts)
                entry["understood"] = {name: getattr(read, name) for name in UNDERSTOOD} | {
                    "patient": dict(read.patient)
                }
                answer = _answered(read, facts, ask)
                if figure is not None:
                    write_figure(figure, read, facts, answer, explain)
            except (ReaderError, _RecordError) as error:
                failed = True
                print(f"leadwise predict: error: {error}", file=sys.stderr)
                entry["error"] = str(error)
                continue
            entry["answer"] = answer
            if not as_json:
                print(understood_text(read), *(f"  {line}" for line in answer_lines(answer)), "", sep="\n")
    if as_json:
        print(json.dumps(told, indent=2))
    elif any("answer" in entry for entry in told):
        print(DISCLAIMER)
    if figure is not None and not failed:
        print(f"Figure: {figure.resolve()}", file=sys.stderr)
    return int(failed)


class _RecordError(LeadwiseError):
    """One file was read and not answered."""


def _check(files: Sequence[Path], explain: Sequence[str], figure: Path | None) -> None:
    if unknown := [name for name in explain if name not in SUPERCLASSES]:
        raise LeadwiseError(f"--explain: received {unknown[0][:20]!r}; allowed: {', '.join(SUPERCLASSES)}")
    if figure is not None and (len(files) > 1 or len(explain) > 1):
        raise LeadwiseError("--figure: is for one file, and for one class if it explains")
    if figure is not None and figure.suffix.casefold() not in (".png", ".pdf", ".svg"):
        raise LeadwiseError(f"--figure: received {figure.name}; a name that ends with .png, .pdf or .svg")


@contextmanager
def _asker(url: str | None, model: str | None, policy: str | None, explain: Sequence[str]) -> Iterator[Ask]:
    """One row of a request -> its answer; refuses what concerns every file, such as an unknown policy."""
    if url is None:
        from leadwise.registry.load import load_scorer

        scorer = load_scorer(model)
        if policy is not None and policy not in scorer.policies:
            raise LeadwiseError(f"--policy: received {policy[:20]!r}; allowed: {', '.join(scorer.policies)}")
        in_order = [name for name in SUPERCLASSES if name in explain]
        yield lambda row: scorer.score([row], policy=policy, explain=in_order)[0]
        return
    from leadwise.serving.client import Client

    try:
        client = Client(url)
    except ValueError as error:
        raise LeadwiseError(f"--{error}") from None
    with client:
        yield lambda row: client.score([row], policy=policy, explain=list(explain) or None)[0]


def _answered(read: ReadECG, facts: Mapping[str, Any], ask: Ask) -> Answer:
    if read.questions:
        question = read.questions[0]
        raise ReaderError(read.file, question.field, f"{question.text}{_how_to_answer(question)}")
    answer = ask(read.array_row() | dict(facts) | {"id": read.file[:200]})
    if "error" in answer:
        raise _RecordError(f"{read.file}: {message_of(answer['error'])}")
    return answer


def _with_overrides(read: ReadECG, facts: Mapping[str, Any]) -> ReadECG:
    """The same with a note on each fact that was given otherwise than the file has it."""
    for name, given in facts.items():
        in_file = fact_text(name, read.patient[name]) if name in read.patient else None
        if in_file not in (None, told := fact_text(name, given)):
            option = FEATURES[name].option
            read = read.with_note(f"The file says {name} {in_file}; {told} was taken, as given with {option}.")
    return read


def _how_to_answer(question: MissingField) -> str:
    if question.field not in HINTS:
        return ""
    option, likely = f"--{question.field.replace('_', '-')}", question.suggestion
    if likely is None:
        return f" Answer with {'--gain or ' if question.field == 'units' else ''}{option}."
    if isinstance(likely, float):
        likely = f"{likely:g}"
    return f" Answer with {option}, likely {option} {likely if isinstance(likely, str) else ','.join(likely)}."


def write_figure(
    file: Path, read: ReadECG, facts: Mapping[str, Any], answer: Mapping[str, Any], explain: Sequence[str]
) -> None:
    """Draw a recording with its answer, and behind the traces the explanation of a class, if the answer has it.

    Raises:
        LeadwiseError: the file, a PNG, PDF or SVG by its ending, cannot be written.
    """
    from leadwise.reports.answer_figure import explained_title
    from leadwise.reports.ecg_figure import draw_ecg, save_figure
    from leadwise.serving.answer import explanation_told

    told = {name: FEATURES[name].parse(value) if isinstance(value, str) else value for name, value in facts.items()}
    known = dict(read.patient) | told
    record = read.recording(known, read.file).record
    explanation = explanation_told(answer, explain[0]) if explain else None
    figure = draw_ecg(
        record,
        title=explained_title(read.file, explanation),
        probabilities=answer["probabilities"],
        thresholds=answer["thresholds"],
        explanation=explanation,
    )
    save_figure(figure, file, "--figure")
