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
