"""The answer in words and as HTML: quality first, then the classes. ``answer.html`` holds the markup."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import streamlit as st
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from leadwise.app.model_source import ModelSource
from leadwise.contract import DISCLAIMER, SUPERCLASS_NAMES, SUPERCLASSES
from leadwise.features import asked_features
from leadwise.reports.ecg_figure import percent

Verdict = Literal["yes", "uncertain", "no"]

CLASS_WORDS: Mapping[str, str] = {
    "NORM": "nothing in the tracing is out of the ordinary",
    "MI": "signs that heart muscle has lost its blood supply, now or long ago",
    "STTC": "the part after each beat is altered, as by lack of oxygen, strain, drugs or electrolytes",
    "CD": "the impulse is delayed or takes a detour, as in a bundle branch block",
    "HYP": "a chamber of the heart is thickened or enlarged",
}
SIGNS: Mapping[Verdict, str] = {"yes": "●", "uncertain": "◐", "no": "○"}
VERDICT_WORDS: Mapping[Verdict, str] = {"yes": "Yes", "uncertain": "Uncertain", "no": "No"}

FLAG_WORDS: Mapping[str, str] = {
    "flat": "A lead is flat: its electrode may be off",
    "missing": "Samples are missing; the gaps were filled along straight lines",
    "noisy": "Noisy: look twice at small waves",
    "mains_hum": "Hum of the mains",
    "clipped": "Cut off at the top or bottom: the amplifier was overdriven",
    "limb_leads_swapped": "Limb electrodes look exchanged",
    "chest_leads_swapped": "Chest electrodes look exchanged",
    "leads_disagree": "The limb leads contradict each other",
    "units_suspected": "The amplitude is unusual: are the units right?",
    "ends_cut": "The ends hold nothing and were cut off",
    "checksum_mismatch": "The file may be damaged",
    "file_incomplete": "The file may be cut off",
    "rate_suspected": "Is the sampling rate right?",
    "electrode_off": "An electrode may be off",
    "baseline_sway": "The baseline sways",
}
POLICY_WORDS: Mapping[str, str] = {
    "best_f1": "Balanced: best F1",
    "target_sensitivity": "Miss little: high sensitivity",
    "youden": "Best sum of sensitivity and specificity",
}
NOT_COVERED = (
    "The five classes cover no rhythm (such as atrial fibrillation), no pacemaker, no electrolyte disorder and no "
    "pulmonary embolism, and they are not for children, exercise or monitoring."
)
"""What a reader must not expect of the five classes."""


def verdict(answer: Mapping[str, Any], name: str) -> Verdict:
    """What an answer says of a class."""
    if answer["uncertain"][name]:
        return "uncertain"
    return "yes" if answer["decisions"][name] else "no"


def reason(answer: Mapping[str, Any], name: str) -> str:
    """Why it says so."""
    probability, threshold = percent(answer["probabilities"][name]), percent(answer["thresholds"][name])
    return {
        "yes": f"{probability} reaches the threshold of {threshold}",
        "uncertain": f"{probability} is too close to the threshold of {threshold} to say yes or no",
        "no": f"{probability} stays below the threshold of {threshold}",
    }[verdict(answer, name)]


def headline(answer: Mapping[str, Any]) -> str:
    """The answer in one line."""
    found = {kind: [SUPERCLASS_NAMES[name] for name in SUPERCLASSES if verdict(answer, name) == kind] for kind in SIGNS}
    parts = [", ".join(found["yes"]) or "none of the five"]
    if found["uncertain"]:
        parts.append(f"uncertain: {', '.join(found['uncertain'])}")
    return "; ".join(parts)


def facts_words(facts: Mapping[str, float | None]) -> str:
    """What is known of a patient, with units."""
    known = ((one, facts.get(one.name)) for one in asked_features())
    return ", ".join(one.sentence(value) for one, value in known if value is not None)


def flag_sentence(flag: Mapping[str, Any]) -> str:
    """A quality flag as a sentence, with its leads and figures."""
    words = FLAG_WORDS.get(flag["flag"], flag["flag"].replace("_", " "))
    unnamed = [lead for lead in flag["leads"] if lead not in re.findall(r"\w+", flag["detail"])]
    return f"{words} ({', '.join([*unnamed, flag['detail']])})."


def warning_sentence(warning: str) -> str:
    """A warning of an answer, with the names of fields as words."""
    for one in asked_features():
        warning = re.sub(rf"\b{one.name}\b", one.label.lower(), warning)
    return f"Note: {warning}."


def error_sentence(answer: Mapping[str, Any]) -> str:
    """What is wrong with a row, without its number."""
    error = answer["error"]
    message = str(error.get("message", "cannot be answered")).removeprefix(f"row {error.get('row')}: ")
    return message[:1].upper() + message[1:] + ("" if message.endswith(".") else ".")


_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+.!|$~:-])")


def plain(text: str) -> str:
    """Text that Markdown shows as it is: a file's name may hold a link, or a picture to be fetched."""
    return _SPECIAL.sub(r"\\\1", text)


@cache
def _parts() -> Any:
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {
        "class_words": CLASS_WORDS,
        "disclaimer": DISCLAIMER,
        "facts_words": facts_words,
        "flag_sentence": flag_sentence,
        "names": SUPERCLASS_NAMES,
        "not_covered": NOT_COVERED,
        "percent": percent,
        "reason": reason,
        "signs": SIGNS,
        "superclasses": SUPERCLASSES,
        "verdict": verdict,
        "verdict_words": VERDICT_WORDS,
    }
    return environment.get_template("answer.html").module


def html_of(part: str, *values: Any, **named: Any) -> str:
    """A part of the page as ``answer.html`` has it; everything that came from outside is escaped."""
    return str(getattr(_parts(), part)(*values, **named)).strip()


def choose_policy(model: ModelSource) -> str | None:
    """Draw the choice of a policy; ``None``: the model's own."""
    policies = list(model.policies)
    if st.session_state.get("policy") not in policies:
        st.session_state["policy"] = model.preferred or policies[0]
    chosen = st.selectbox(
        "Thresholds",
        policies,
        format_func=lambda name: POLICY_WORDS.get(name, name),
        key="policy",
        help="How the probabilities become decisions; every policy was chosen on fold 9.",
    )
    return None if chosen is None else str(chosen)


def show_answer(
    answer: Mapping[str, Any], facts_answer: Mapping[str, Any] | None, model: ModelSource, *, of_recording: bool
) -> None:
    """Draw the classes; where a recording was read, those of the patient metadata alone beside them."""
    first, second = st.columns([3, 2], gap="large")
    with first:
        st.html(html_of("heading", f"Answer: {headline(answer)}"))
        st.html(html_of("classes", answer))
    with second:
        if of_recording:
            st.html(html_of("heading", "From the facts about the patient alone", 3))
            if facts_answer and "error" not in facts_answer:
                st.html(html_of("classes", facts_answer, small=True))
            else:
                aside = "No facts are given, so there is no such answer. The recording alone was read."
                st.html(html_of("aside", aside))
        with st.expander("How often these thresholds are right", expanded=True):
            st.html(html_of("rates", model.rates.get(answer["model"], {}).get(answer["policy"], {})))
    if answer["findings"]:
        with st.expander(f"Statements that cardiologists use ({len(answer['findings'])})"):
            st.html(html_of("findings", answer))
    if answer["windows"]:
        with st.expander("Each ten seconds"):
            st.html(html_of("windows", answer))
    for warning in answer["warnings"]:
        st.html(html_of("aside", warning_sentence(warning)))
