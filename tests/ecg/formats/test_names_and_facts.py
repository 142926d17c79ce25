"""Lead names and codes of every kind, and facts about the patient, in the ways that files write them."""

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadwise.contract import LEADS
from leadwise.ecg.formats import read_ecg
from leadwise.ecg.formats.parsing import standard_lead
from leadwise.ecg.formats.patient import age_between, checked_facts, date_of, facts_of
from leadwise.features import FEATURES


@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize(
    "spelling",
    ["{}", " {} ", "'{}'", "Lead {}", "LEAD_{}", "lead-{}", "ECG {}", "EKG {}", "ECG-{}", "ECG Lead {}", "ecg:{}",
     "{} lead", "{}-Ref", "{} (Einthoven)", "{} [mV]", "MDC_ECG_LEAD_{}", "ECG{}", "Lead{}"],
)  # fmt: skip
def test_a_lead_with_words_around_it(spelling: str, lead: str) -> None:
    for name in (lead, lead.upper(), lead.lower()):
        assert standard_lead(spelling.format(name)) == (lead, 1)


MEANT: dict[tuple[str, float] | None, list[str]] = {
    ("I", 1): ["2:1", "5.6.3-9-1", "131073", "D1"],
    ("II", 1): ["DII", "L2"],
    ("III", 1): ["2:61", "131133", "DIII"],
    ("aVR", 1): ["2:62", "a.V.R", "aV R"],
    ("aVF", 1): ["5.6.3-9-64"],
    ("V1", 1): ["2:3", "131075", "C1", "V_1"],
    ("V6", 1): ["2:8", "C6"],
    # A unit, or what is harmless, in brackets makes no other lead.
    ("V3", 1): ["V3 (ADC)", "V3 (100 uV)", "V3 [1e-4 V]", "V3 (uV/bit)", "V3 (filtered) [mV]"],
    ("aVR", -1): ["-aVR", "-AVR", "minus aVR", "inverted aVR", "Lead -aVR", "aVR (inverted)", "(-)aVR", "aVR_inv",
                  "aVR [reversed]", "ECG aVR (-1)", "aVR (-) (mV)"],
    # In words any lead may be upside down.
    ("V1", -1): ["V1 (inverted)", "inverted V1", "V1 flipped"],
    None: ["", " ", "MLII", "MCL1", "V7", "V3R", "V4R", "X", "vx", "1", "2", "12", "Lead 1", "-I", "-V1", "I-II", "V",
           "aV", "Resp", "ECG", "EDF Annotations", "Pleth", "time", "V1V2", "II (V5) x", "5.6.3-9-9", "2:11", "131072",
           "IV", "x" * 500, "V3 (R)", "V3 (right)", "V4 [posterior]", "V3_R", "V3-R", "V5 (CM5)", "II (modified)",
           "-aVR (inverted)", "V1 (2)"],
}  # fmt: skip


@pytest.mark.parametrize(("lead", "name"), [(lead, name) for lead, names in MEANT.items() for name in names])
def test_codes_names_of_other_places_and_what_is_no_standard_lead(lead: tuple[str, float] | None, name: str) -> None:
    assert standard_lead(name) == lead


@given(st.text(max_size=100))
def test_any_text_is_a_standard_lead_or_none(name: str) -> None:
    found = standard_lead(name)
    assert found is None or (found[0] in LEADS and found[1] in (1, -1))


Make = Callable[..., Any]


AMOUNTS: dict[str, dict[str, float | None]] = {
    "age": {
        "63": 63, "063Y": 63, "63 YEARS": 63, "18 months": 1.5, "006M": 0.5, "52W": 0.9966, "3 d": 0.0082, "60,5": 60.5,
        "old": None, "": None, "63 bananas": None, "-5": None, "1e9": None,
    },
    "height_cm": {"172": 172, "1.72 m": 172, "1,72": 172, "68in": 172.72, "1720mm": 172, "5 ft": 152.4, "5 ells": None},
    "weight_kg": {"72 kg": 72, "160 lb": 72.5748, "72000g": 72, "11 stone": 69.8532, "9 bags": None},
}  # fmt: skip


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in AMOUNTS.items() for text in texts])
def test_amounts(name: str, text: str) -> None:
    assert FEATURES[name].parse(text) == pytest.approx(AMOUNTS[name][text], abs=1e-4)


@pytest.mark.parametrize(
    "text", ["19620517", "19620517083000.000+0100", "05-17-1962", "5/17/1962", "17-MAY-1962", "1962-05-17T08:30"]
)
def test_dates(text: str) -> None:
    assert date_of(text) == datetime.date(1962, 5, 17)


@given(
    st.dates(datetime.date(1880, 1, 1), datetime.date(2030, 1, 1)),
    st.dates(datetime.date(1880, 1, 1), datetime.date(2030, 1, 1)),
)
def test_the_age_counts_birthdays(born: datetime.date, then: datetime.date) -> None:
    age = age_between(f"{born:%Y%m%d}", f"{then:%Y%m%d}")
    if then < born or (then - born).days > 130 * 366:
        assert age is None
    else:
        birthdays = then.year - born.year - ((then.month, then.day) < (born.month, born.day))
        assert age == birthdays


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["age", "Sex", "HEIGHT (cm)", "weight_kg", "pacemaker", "name"]), st.text(max_size=12)
        )
    )
)
def test_any_text_gives_facts_in_range_or_none(pairs: list[tuple[str, str]]) -> None:
    facts, _ = checked_facts(facts_of(pairs))
    for name, value in facts.items():
        assert FEATURES[name].holds(value)


def test_names_of_facts_and_words_for_unknown() -> None:
    pairs = [("Patient Age", "61"), ("Gender", "F"), ("weight_kg", "70"), ("Pacemaker", "yes")]
    assert facts_of(pairs) == {"age": 61, "sex": 1, "weight_kg": 70, "pacemaker": 1}
    unknown = [("age", "NaN"), ("sex", "unknown"), ("height", ""), ("weight", "0"), ("Dx", "1")]
    assert checked_facts(facts_of(unknown)) == ({}, [])


WEEK, POUND, INCH = 7 / 365.25, 0.45359237, 2.54
"""The international pound (1959) in kilograms and inch in centimetres."""

TOLD: list[tuple[str, dict[str, float]]] = [
    ("Age: 6 weeks", {"age": 6 * WEEK}),
    ("Age: 10 mo", {"age": 10 / 12}),
    ("Age: 3 days", {"age": 3 / 365.25}),
    ("Age: 2 years 6 months", {"age": 2.5}),
    ("Age (months): 18", {"age": 1.5}),
    ("Age: 63-year-old", {"age": 63}),
    ("Weight: 159 lbs", {"weight_kg": 159 * POUND}),
    ("Weight_lb: 159", {"weight_kg": 159 * POUND}),
    ("Weight: 11 st 5 lb", {"weight_kg": 159 * POUND}),
    ("Weight: 72,5 kg", {"weight_kg": 72.5}),
    ("Height: 68 inches", {"height_cm": 68 * INCH}),
    ("Height: 5 feet 8 inches", {"height_cm": 68 * INCH}),
    ("Height: 5'8\"", {"height_cm": 68 * INCH}),
    ("Height: 1,72 m", {"height_cm": 172}),
    ("Age: 6 weeks Sex: M Weight: 9 lbs", {"age": 6 * WEEK, "sex": 0, "weight_kg": 9 * POUND}),
    ("Age: 63, Height: 172, Weight: 72", {"age": 63, "height_cm": 172, "weight_kg": 72}),
    ("Mean age: 50", {}),
]

NOT_UNDERSTOOD = [
    ("Weight: 159 furlongs", "weight_kg"),
    ("Weight [furlongs]: 159", "weight_kg"),
    ("Height: 172 ells", "height_cm"),
    ("Age: 5 minutes", "age"),
    ("Age: 56 (estimated)", "age"),
]


@pytest.fixture(scope="module")
def read_with(ecg: Make, write: Make, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """``read_with("wfdb" or "csv", line)``: a recording with this line of comment."""

    def read(kind: str, line: str) -> Any:
        if kind == "csv":
            return read_ecg(f"# {line}\n".encode() + write("csv", ecg()))
        return read_ecg(write("wfdb", ecg(), Path(tmp_path_factory.mktemp("rec")), comments=[line]))

    return read


@pytest.mark.parametrize("kind", ["wfdb", "csv"])
@pytest.mark.parametrize(("line", "facts"), TOLD)
def test_the_unit_behind_a_number_counts(read_with: Any, kind: str, line: str, facts: dict[str, float]) -> None:
    read = read_with(kind, line)
    assert read.patient == pytest.approx(facts, rel=2e-3)
    assert read.notes == ()


@pytest.mark.parametrize("kind", ["wfdb", "csv"])
@pytest.mark.parametrize(("line", "fact"), NOT_UNDERSTOOD)
def test_a_number_of_an_unknown_unit_is_no_fact(read_with: Any, kind: str, line: str, fact: str) -> None:
    read = read_with(kind, line)
    assert read.patient == {}
    assert [note.startswith(f"The file gives {fact} in a way that is not understood") for note in read.notes] == [True]
