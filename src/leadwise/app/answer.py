"""The answer in words and as HTML: quality first, then the classes. ``answer.html`` holds the markup."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import streamlit as st
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from leadwise.app.model_source import Bands, Facts, ModelSource, ShownRecording
from leadwise.contract import DISCLAIMER, SUPERCLASS_NAMES, SUPERCLASSES
from leadwise.features import asked_features
from leadwise.reports.answer_figure import percent
from leadwise.serving.request import message_of

Verdict = Literal["yes", "uncertain", "no"]

CLASS_WORDS: Mapping[str, str] = {
    "NORM": "nothing in the tracing is out of the ordinary",
    "MI": "signs that heart muscle has lost its blood supply, now or long ago",
    "STTC": "the part after each beat is altered, as by lack of oxygen, strain, drugs or electrolytes",
    "CD": "the impulse is delayed or takes a detour, as in a bundle branch block",
    "HYP": "a chamber of the heart is thickened or enlarged",
}
REVERSED = ("limb_leads_swapped", "chest_leads_swapped")
"""Flags that put the answer itself in doubt."""
ADULT_YEARS = 18
SIGNS: Mapping[Verdict, str] = {"yes": "●", "uncertain": "◐", "no": "○"}
VERDICT_WORDS: Mapping[Verdict, str] = {"yes": "Yes", "uncertain": "Uncertain", "no": "No"}

FLAG_WORDS: Mapping[str, str] = {
    "flat": "A lead is flat: its electrode may be off",
    "missing": "Samples are missing; the gaps were filled along straight lines",
    "noisy": "Noisy: look twice at small waves",
    "mains_hum": "Hum of the mains was taken out",
    "baseline_wander": "The baseline wanders: it was straightened",
    "clipped": "Cut off at the top or bottom: the amplifier was overdriven",
    "limb_leads_swapped": "Limb electrodes look reversed",
    "chest_leads_swapped": "Chest electrodes look reversed",
    "inverted": "The whole recording looks upside down",
    "scaled_lead_by_lead": "The leads were scaled one by one: their sizes say nothing",
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
TRUTH_WORDS: Mapping[str, str] = {"simulated": "Simulated with", "cardiologists": "Cardiologists said"}
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


def reason(answer: Mapping[str, Any], name: str, bands: Bands | None = None) -> str:
    """Why it says so; ``bands``: class -> from and to of "uncertain", where they are known."""
    probability, threshold = percent(answer["probabilities"][name]), percent(answer["thresholds"][name])
    open_to_both = f"{probability} is too close to the threshold of {threshold} to say yes or no"
    if bands and name in bands:
        low, high = map(percent, bands[name])
        open_to_both = f"{probability} is between {low} and {high}, around the threshold of {threshold}"
    return {
        "yes": f"{probability} reaches the threshold of {threshold}",
        "uncertain": open_to_both,
        "no": f"{probability} stays below the threshold of {threshold}",
    }[verdict(answer, name)]


def cautions(answer: Mapping[str, Any], facts: Facts) -> list[str]:
    """What puts the answer itself in doubt, in sentences."""
    found = [
        f"{flag_sentence(flag)} If they are, this answer is of another ECG: check them and record again."
        for flag in answer["quality"]
        if flag["flag"] in REVERSED
    ]
    age = facts.get("age")
    if age is not None and age < ADULT_YEARS:
        found.append(f"{age:g} years: the model has learnt from adults, and a child's ECG is read by other rules.")
    return found


def headline(answer: Mapping[str, Any]) -> str:
    """The answer in one line."""
    found = {kind: [SUPERCLASS_NAMES[name] for name in SUPERCLASSES if verdict(answer, name) == kind] for kind in SIGNS}
    parts = [", ".join(found["yes"]) or "none of the five"]
    if found["uncertain"]:
        parts.append(f"uncertain: {', '.join(found['uncertain'])}")
    return "; ".join(parts)


def facts_words(facts: Facts) -> str:
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
    message = message_of(answer["error"])
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
        "truth_words": TRUTH_WORDS,
        "verdict": verdict,
        "verdict_words": VERDICT_WORDS,
    }
    return environment.get_template("answer.html").module


def html_of(part: str, *values: Any, **named: Any) -> str:
    """A part of the page as ``answer.html`` has it; everything that came from outside is escaped."""
    return str(getattr(_parts(), part)(*values, **named)).strip()


def choose_policy(model: ModelSource, case_key: str) -> str:
    """Draw the choice of a policy. One that was chosen for another recording is not taken over, which is said."""
    state, policies = st.session_state, list(model.policies)
    usual = model.preferred or policies[0]
    before, state["policy-case"] = state.get("policy-case"), case_key
    if state.get("policy") not in policies:
        state["policy"] = usual
    elif before not in (None, case_key) and state["policy"] != usual:
        state["policy-left"] = (case_key, state["policy"])
        state["policy"] = usual
    chosen = st.selectbox(
        "Thresholds",
        policies,
        format_func=lambda name: POLICY_WORDS.get(name, name),
        key="policy",
        help="How the probabilities become decisions; every policy was chosen on fold 9.",
    )
    left_at, left = state.get("policy-left", ("", ""))
    if left_at == case_key and chosen == usual:
        st.html(
            html_of("note", f"“{POLICY_WORDS.get(left, left)}” was chosen for another recording, not for this one.")
        )
    return str(chosen)


def explained_class(case: ShownRecording, answer: Mapping[str, Any]) -> str | None:
    """The class whose explanation is shown: the likeliest until another row, or none, is chosen for the recording."""
    chosen_for, chosen = st.session_state.get("explained", ("", ""))
    likeliest = max(SUPERCLASSES, key=lambda name: float(answer["probabilities"][name]))
    return (chosen or None) if chosen_for == case.key else likeliest


def _choose_explained(case_key: str, name: str) -> None:
    st.session_state["explained"] = (case_key, name)


def show_answer(
    case: ShownRecording, facts: Mapping[str, float | None], answer: Mapping[str, Any], bands: Bands
) -> None:
    """Draw the answer to a recording: its headline, what puts it in doubt, and a row for each class to choose."""
    st.html(html_of("heading", f"Answer: {headline(answer)}"))
    doubts = cautions(answer, facts)
    for sentence in doubts:
        st.html(html_of("note", sentence))
    others = [flag for flag in answer["quality"] if flag["flag"] not in REVERSED]
    if others or not doubts:
        st.html(html_of("quality", others))
    if case.truth is not None:
        st.html(html_of("truth", case.truth, case.truth_from))
    explained = explained_class(case, answer)
    with st.container(key="rows", gap=None):
        for name in SUPERCLASSES:
            with st.container(key=f"row-{name}", gap=None):
                st.html(html_of("class_row", answer, name, bands, case.truth, chosen=name == explained))
                st.button(
                    f"{name}: hide what speaks for it" if name == explained else f"{name}: show what speaks for it",
                    key=f"explain-{name}",
                    on_click=_choose_explained,
                    args=(case.key, "" if name == explained else name),
                )
    st.html(html_of("aside", NOT_COVERED))


def show_expected(facts_answer: Mapping[str, Any] | None) -> None:
    """Draw how likely the classes are before any ECG."""
    if facts_answer and "error" not in facts_answer:
        st.html(html_of("expected", facts_answer))
    else:
        st.html(html_of("aside", "No facts are given: the recording alone was read."))


def show_rates(model: ModelSource, answer: Mapping[str, Any]) -> None:
    """Draw how often the thresholds are right, and the way to the model card."""
    measured = model.rates.get(answer["model"], {}).get(answer["policy"], {})
    st.html(html_of("rates", measured, model.test_records))
    if model.card and st.button("Model card", icon=":material/description:", type="tertiary"):
        _show_card(model.card)


@st.dialog("Model card", width="large")
def _show_card(card: str) -> None:
    st.markdown(card)


def show_details(answer: Mapping[str, Any]) -> None:
    """Draw the statements, the segments of a long recording, and the warnings."""
    if answer["findings"]:
        with st.expander(f"Statements that cardiologists use ({len(answer['findings'])})"):
            st.html(html_of("findings", answer))
    if answer["windows"]:
        with st.expander("Each ten seconds"):
            st.html(html_of("windows", answer))
    for warning in answer["warnings"]:
        st.html(html_of("aside", warning_sentence(warning)))
