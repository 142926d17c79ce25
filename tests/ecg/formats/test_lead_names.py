"""Lead names and codes of every kind, and what is not to be taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadwise.contract import LEADS
from leadwise.ecg.formats.parsing import standard_lead


@pytest.mark.parametrize("lead", LEADS)
@pytest.mark.parametrize(
    "spelling",
    ["{}", " {} ", "'{}'", "Lead {}", "LEAD_{}", "lead-{}", "ECG {}", "EKG {}", "ECG-{}", "ECG Lead {}", "ecg:{}",
     "{} lead", "{}-Ref", "{} (Einthoven)", "{} [mV]", "MDC_ECG_LEAD_{}", "ECG{}", "Lead{}"],
)  # fmt: skip
def test_a_lead_with_words_around_it(spelling: str, lead: str) -> None:
    for name in (lead, lead.upper(), lead.lower()):
        assert standard_lead(spelling.format(name)) == (lead, 1)


@pytest.mark.parametrize(
    ("name", "lead"),
    [
        ("2:1", "I"), ("2:61", "III"), ("2:62", "aVR"), ("2:3", "V1"), ("2:8", "V6"), ("5.6.3-9-1", "I"),
        ("5.6.3-9-64", "aVF"), ("131073", "I"), ("131133", "III"), ("131075", "V1"), ("D1", "I"), ("DII", "II"),
        ("DIII", "III"), ("C1", "V1"), ("C6", "V6"), ("a.V.R", "aVR"), ("aV R", "aVR"), ("V_1", "V1"), ("L2", "II"),
    ],
)  # fmt: skip
def test_codes_and_names_of_other_places(name: str, lead: str) -> None:
    assert standard_lead(name) == (lead, 1)


@pytest.mark.parametrize("name", ["-aVR", "-AVR", "minus aVR", "inverted aVR", "Lead -aVR", "aVR (inverted)", "(-)aVR",
                                  "aVR_inv", "aVR [reversed]", "ECG aVR (-1)", "aVR (-) (mV)"])  # fmt: skip
def test_a_lead_upside_down(name: str) -> None:
    assert standard_lead(name) == ("aVR", -1)


@pytest.mark.parametrize("name", ["V1 (inverted)", "inverted V1", "V1 flipped"])
def test_in_words_any_lead_may_be_upside_down(name: str) -> None:
    assert standard_lead(name) == ("V1", -1)


@pytest.mark.parametrize("name", ["V3 (ADC)", "V3 (100 uV)", "V3 [1e-4 V]", "V3 (uV/bit)", "V3 (filtered) [mV]"])
def test_a_unit_in_brackets_makes_no_other_lead(name: str) -> None:
    assert standard_lead(name) == ("V3", 1)


@pytest.mark.parametrize(
    "name",
    ["", " ", "MLII", "MCL1", "V7", "V3R", "V4R", "X", "vx", "1", "2", "12", "Lead 1", "-I", "-V1", "I-II", "V", "aV",
     "Resp", "ECG", "EDF Annotations", "Pleth", "time", "V1V2", "II (V5) x", "5.6.3-9-9", "2:11", "131072", "IV",
     "x" * 500, "V3 (R)", "V3 (right)", "V4 [posterior]", "V3_R", "V3-R", "V5 (CM5)", "II (modified)",
     "-aVR (inverted)", "V1 (2)"],
)  # fmt: skip
def test_what_is_no_standard_lead(name: str) -> None:
    assert standard_lead(name) is None


@given(st.text(max_size=100))
def test_any_text_is_a_standard_lead_or_none(name: str) -> None:
    found = standard_lead(name)
    assert found is None or (found[0] in LEADS and found[1] in (1, -1))
