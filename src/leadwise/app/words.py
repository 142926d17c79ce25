"""What the page says of an answer, in words for a student."""

import re
from collections.abc import Mapping
from typing import Any, Literal

from leadwise.contract import SUPERCLASS_NAMES, SUPERCLASSES
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
