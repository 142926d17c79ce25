"""What was understood of a file and what was answered, as lines for a terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from leadwise.contract import SUPERCLASS_NAMES, SUPERCLASSES
from leadwise.ecg.formats import ReadECG

FACT_WORDS: Mapping[str, tuple[str, str]] = {"sex": ("male", "female"), "pacemaker": ("no", "yes")}
"""What 0 and 1 of a fact mean."""
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
    """A fact of the patient in words: of ``sex`` and ``pacemaker`` 0 and 1 have names."""
    if isinstance(value, str):
        return value
    return FACT_WORDS[name][int(value)] if name in FACT_WORDS and value in (0, 1) else f"{value:g}"


def answer_text(answer: Mapping[str, Any]) -> str:
    """An answer: flags of quality and warnings first, then the classes and the findings."""
    return "\n".join(f"  {line}" for line in _lines(answer))


def _lines(answer: Mapping[str, Any]) -> Iterator[str]:
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
        yield _window(window)
    for name, explanation in answer["explanations"].items():
        yield from _why(name, explanation["effects"])
    version = answer["version"]
    registered = f"{answer['registered_model']} version {version}" if version else "no version of a registry"
    yield f"answered by {registered} ({answer['model']}), thresholds: {answer['policy']}"


def _window(window: Mapping[str, Any]) -> str:
    times = f"{window['start_s']:g} to {window['end_s']:g} s:"
    if window["probabilities"] is None:
        return f"{times} no ECG"
    return f"{times} " + ", ".join(f"{name} {value:.1%}" for name, value in window["probabilities"].items())


def _why(name: str, effects: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """The three waves that add most, and the one that takes most away, in log-odds."""
    pieces = sorted(
        ((value, f"{wave} in {lead} {value:+.2f}") for wave, leads in effects.items() for lead, value in leads.items()),
        reverse=True,
    )
    for_it = [text for value, text in pieces[:3] if value > 0]
    against = [text for value, text in pieces[-1:] if value < 0]
    yield f"why {name} (log-odds): {'; '.join([*for_it, *against]) or 'nothing stands out'}"
