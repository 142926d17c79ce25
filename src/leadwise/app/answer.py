"""The answer as HTML: quality first, then the classes. Everything that came from outside is escaped."""

import re
from collections.abc import Mapping
from html import escape
from typing import Any, Literal

import streamlit as st

from leadwise.app.model_source import ModelSource, Rates
from leadwise.contract import DISCLAIMER, SUPERCLASS_NAMES, SUPERCLASSES
from leadwise.ecg.formats import ReadECG
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
    "mains_hum": "Hum of the mains was taken out",
    "baseline_wander": "The baseline wanders: it was straightened",
    "clipped": "Cut off at the top or bottom: the amplifier was overdriven",
    "limb_leads_swapped": "Limb electrodes look exchanged",
    "chest_leads_swapped": "Chest electrodes look exchanged",
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
    words = {
        "age": lambda value: f"{value:g} years",
        "sex": lambda value: "female" if value else "male",
        "height_cm": lambda value: f"{value:g} cm",
        "weight_kg": lambda value: f"{value:g} kg",
        "pacemaker": lambda value: "pacemaker" if value else "no pacemaker",
    }
    return ", ".join(say(value) for name, say in words.items() if (value := facts.get(name)) is not None)


def flag_sentence(flag: Mapping[str, Any]) -> str:
    """A quality flag as a sentence, with its leads and figures."""
    words = FLAG_WORDS.get(flag["flag"], flag["flag"].replace("_", " "))
    unnamed = [lead for lead in flag["leads"] if lead not in re.findall(r"\w+", flag["detail"])]
    return f"{words} ({', '.join([*unnamed, flag['detail']])})."


def warning_sentence(warning: str) -> str:
    """A warning of an answer, with the names of fields as words."""
    return f"Note: {warning.replace('height_cm', 'height').replace('weight_kg', 'weight')}."


def error_sentence(answer: Mapping[str, Any]) -> str:
    """What is wrong with a row, without its number."""
    error = answer["error"]
    message = str(error.get("message", "cannot be answered")).removeprefix(f"row {error.get('row')}: ")
    return message[:1].upper() + message[1:] + ("" if message.endswith(".") else ".")


def heading(text: str, level: int = 2) -> str:
    """A headline of the page; ``level`` as HTML counts them."""
    return f'<h{level} class="lw-h{level}">{escape(text)}</h{level}>'


def alert_html(sentence: str) -> str:
    """What went wrong; read out at once."""
    return f'<div class="lw-error" role="alert">✕ {escape(sentence)}</div>'


def aside_html(sentence: str) -> str:
    """What matters less."""
    return f'<div class="lw-faint">{escape(sentence)}</div>'


def quality_html(answer: Mapping[str, Any]) -> str:
    """What is wrong with the recording, or that nothing is."""
    if not answer["quality"]:
        return '<div class="lw-good" role="status">✓ Quality: nothing wrong was found in this recording.</div>'
    notes = "".join(f'<div class="lw-note">⚠ {escape(flag_sentence(flag))}</div>' for flag in answer["quality"])
    return f'<div role="status" aria-label="Quality">{notes}</div>'


def classes_html(answer: Mapping[str, Any], *, small: bool = False) -> str:
    """The five classes: probability, threshold and decision, by bar, sign and word."""
    items = "".join(_class_item(answer, name, small=small) for name in SUPERCLASSES)
    return f'<div class="{"lw-small" if small else ""}"><ul class="lw-classes">{items}</ul></div>'


def _class_item(answer: Mapping[str, Any], name: str, *, small: bool) -> str:
    kind, probability = verdict(answer, name), answer["probabilities"][name]
    full = SUPERCLASS_NAMES[name]
    line = (
        f'<span class="lw-name">{full[0].upper()}{full[1:]}</span>'
        + f'<span class="lw-percent">{percent(probability)}</span>'
    )
    bar = (
        f'<div class="lw-bar" aria-hidden="true"><div class="lw-fill" style="width:{100 * probability:.1f}%"></div>'
        f'<div class="lw-mark" style="left:{100 * answer["thresholds"][name]:.1f}%"></div></div>'
    )
    about = "" if small else f'<div class="lw-faint">{name}: {CLASS_WORDS[name]}</div>'
    told = f'<span class="lw-verdict">{SIGNS[kind]} {VERDICT_WORDS[kind]}</span>'
    words = f'<div class="lw-faint">{told}{"" if small else f": {reason(answer, name)}"}</div>'
    return f'<li class="lw-{kind} lw-{name}"><div class="lw-line">{line}</div>{about}{bar}{words}</li>'


def understood_html(read: ReadECG) -> str:
    """What was understood of a file; what is in question says so."""
    asked = "<b>asked below</b>"
    units = escape(read.units_how) or asked
    gains = sorted(set(read.gain_per_mv or ()))
    if gains:
        units += f" Gain: {', '.join(f'{gain:g}' for gain in gains[:3])} per mV."
    lines = {
        "File": f"{escape(read.file)}, read as {escape(read.format)}",
        "Rate": f"{read.fs_hz:g} Hz" if read.fs_hz else asked,
        "Length": f"{read.samples:,} samples" + (f", {read.seconds:.3g} s" if read.seconds else ""),
        "Leads": ", ".join(map(escape, read.leads)) or asked,
        "Units": units,
        "Patient": escape(facts_words(read.patient)) or "nothing in the file",
    }
    if read.leads_found and read.leads_found != read.leads:
        lines["Leads"] += f' <span class="lw-faint">(in the file: {", ".join(map(escape, read.leads_found))})</span>'
    facts = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in lines.items())
    notes = "".join(f'<div class="lw-note">{escape(note)}</div>' for note in read.notes)
    return f'<dl class="lw-facts">{facts}</dl>{notes}'


def rates_html(rates: Rates, policy: str) -> str:
    """Sensitivity and specificity of a policy on fold 10, by class; a sentence where they are not known."""
    measured = rates.get(policy, {})
    if not measured:
        return '<p class="lw-faint">This model does not tell its sensitivity and specificity.</p>'
    rows = "".join(
        f'<tr><th scope="row">{name}</th>'
        + "".join(
            f"<td>{_rate(measured.get(measure, {}).get(name))}</td>" for measure in ("sensitivity", "specificity")
        )
        + "</tr>"
        for name in SUPERCLASSES
    )
    head = '<tr><th scope="col">Class</th><th scope="col">Sensitivity</th><th scope="col">Specificity</th></tr>'
    return (
        f'<div class="lw-scroll"><table class="lw-table">{head}{rows}</table></div>'
        '<p class="lw-faint">On fold 10, which no choice has seen; in brackets 95 % intervals.</p>'
    )


def _rate(value: Any) -> str:
    if not value or value[0] is None:
        return "unknown"
    middle, *bounds = value
    if len(bounds) == 2 and None not in bounds:
        return f"{100 * middle:.0f} % [{100 * bounds[0]:.0f}, {100 * bounds[1]:.0f}]"
    return f"{100 * middle:.0f} %"


def findings_html(answer: Mapping[str, Any]) -> str:
    """The statements that are reported beside the classes."""
    rows = "".join(
        f"<tr><td>{escape(str(one['description']))}</td><td>{escape(str(one['code']))}</td>"
        f"<td>{percent(one['probability'])}</td></tr>"
        for one in answer["findings"]
    )
    head = '<tr><th scope="col">Statement</th><th scope="col">Code</th><th scope="col">Probability</th></tr>'
    return f'<div class="lw-scroll"><table class="lw-table">{head}{rows}</table></div>'


def windows_html(answer: Mapping[str, Any]) -> str:
    """Of a recording longer than 10 s, the probabilities of each 10 s."""
    head = "".join(f'<th scope="col">{name}</th>' for name in SUPERCLASSES)
    rows = "".join(_window_row(window) for window in answer["windows"])
    return (
        f'<div class="lw-scroll"><table class="lw-table"><tr><th scope="col">Seconds</th>{head}'
        f'<th scope="col">Quality</th></tr>{rows}</table></div>'
    )


def _window_row(window: Mapping[str, Any]) -> str:
    times = f"<td>{window['start_s']:g} to {window['end_s']:g}</td>"
    if window["probabilities"] is None:
        return f'<tr>{times}<td colspan="{len(SUPERCLASSES)}">no ECG, left out</td><td></td></tr>'
    cells = "".join(
        f"<td>{SIGNS[verdict(window, name)]} {percent(window['probabilities'][name])}</td>" for name in SUPERCLASSES
    )
    flags = ", ".join(escape(flag["flag"].replace("_", " ")) for flag in window["quality"])
    return f"<tr>{times}{cells}<td>{flags}</td></tr>"


def foot_html() -> str:
    """What is always in sight."""
    return f'<div class="lw-foot" role="contentinfo"><b>{escape(DISCLAIMER)}</b> {escape(NOT_COVERED)}</div>'


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


def show_answer(answer: Mapping[str, Any], facts_answer: Mapping[str, Any] | None, model: ModelSource) -> None:
    """Draw the classes of the recording and, beside them, those of the facts alone."""
    first, second = st.columns([3, 2], gap="large")
    with first:
        st.html(heading(f"Answer: {headline(answer)}"))
        st.html(classes_html(answer))
    with second:
        if answer["model"] != "metadata":
            st.html(heading("From the facts about the patient alone", level=3))
            if facts_answer and "error" not in facts_answer:
                st.html(classes_html(facts_answer, small=True))
            else:
                st.html(aside_html("No facts are given, so there is no such answer. The recording alone was read."))
        with st.expander("How often these thresholds are right", expanded=True):
            st.html(rates_html(model.rates.get(answer["model"], {}), answer["policy"]))
    if answer["findings"]:
        with st.expander(f"Statements that cardiologists use ({len(answer['findings'])})"):
            st.html(findings_html(answer))
    if answer["windows"]:
        with st.expander("Each ten seconds"):
            st.html(windows_html(answer))
    for warning in answer["warnings"]:
        st.html(aside_html(warning_sentence(warning)))
