"""Facts about the patient in the ways that files write them."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadwise.contract import FACT_RANGES
from leadwise.signals.readers.patient_facts import age_between, age_of, date_of, facts_of, height_cm_of, weight_kg_of


@pytest.mark.parametrize(
    ("text", "years"),
    [("63", 63), ("063Y", 63), ("63 YEARS", 63), ("18 months", 1.5), ("006M", 0.5), ("52W", 0.996), ("3 d", 0.008),
     ("60,5", 60.5), ("old", None), ("", None), ("63 bananas", None), ("-5", None), ("1e9", None)],
)  # fmt: skip
def test_ages(text: str, years: float | None) -> None:
    assert age_of(text) == (None if years is None else pytest.approx(years, abs=1e-3))


@pytest.mark.parametrize(
    ("text", "cm"),
    [
        ("172", 172),
        ("172 cm", 172),
        ("1.72 m", 172),
        ("1,72", 172),
        ("68 in", 172.72),
        ("1720 mm", 172),
        ("5 ft", None),
    ],
)
def test_heights(text: str, cm: float | None) -> None:
    assert height_cm_of(text) == (None if cm is None else pytest.approx(cm))


@pytest.mark.parametrize(
    ("text", "kg"), [("72", 72), ("72 kg", 72), ("160 lb", 72.57), ("72000g", 72), ("11 stone", None)]
)
def test_weights(text: str, kg: float | None) -> None:
    assert weight_kg_of(text) == (None if kg is None else pytest.approx(kg, abs=0.01))


@pytest.mark.parametrize(
    "text", ["19620517", "19620517083000.000+0100", "05-17-1962", "5/17/1962", "17-MAY-1962", "1962-05-17T08:30"]
)
def test_dates(text: str) -> None:
    assert date_of(text) == datetime.date(1962, 5, 17)


@pytest.mark.parametrize("text", ["", "1962", "19629999", "31-FEB-1962", "17-XYZ-1962", "yesterday", "99-99-9999"])
def test_what_is_no_date(text: str) -> None:
    assert date_of(text) is None


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
    facts, _ = facts_of(pairs)
    for name, value in facts.items():
        low, high, _ = FACT_RANGES.get(name, (0, 1, ""))
        assert low <= value <= high


def test_names_of_facts_and_words_for_unknown() -> None:
    assert facts_of([("Patient Age", "61"), ("Gender", "F"), ("weight_kg", "70"), ("Pacemaker", "yes")]) == (
        {"age": 61, "sex": 1, "weight_kg": 70, "pacemaker": 1},
        [],
    )
    assert facts_of([("age", "NaN"), ("sex", "unknown"), ("height", ""), ("weight", "0"), ("Dx", "1")]) == ({}, [])
