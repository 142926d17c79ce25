"""From codes to superclasses: what is present, what is absent, and what nobody can tell."""

from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadwise.contract import SUPERCLASSES
from leadwise.datasets.cohort import CohortError
from leadwise.datasets.external import challenge2021, ludb, sph
from leadwise.datasets.external.sources import LabelMap, read_label_map

MAPS: dict[str, LabelMap] = {one.name: one.label_map() for one in (challenge2021.Challenge2021, ludb.Ludb, sph.Sph)}
CHALLENGE = MAPS["challenge2021"]

SURE = {
    "MI": "164865005 164867002 57054005 54329005",
    "STTC": "428750005 425623009 111975006 164861001 413844008 413444003 426434006 425419005",
    "CD": "59118001 698252002 270492004 713426002 713427006 164909002 445118002 233917008 733534002 251120003 "
    "445211001 6374002 82226007 195042002 54016002 426183003 27885002 74390002 195060002",
    "HYP": "164873001 89792004 67741000119109 446358003 266249003 446813000 195126007",
}
"""SNOMED CT codes that name a diagnosis of PTB-XL."""
DOUBTFUL = {
    "STTC": "164934002 55930002 429622005 59931005 164930006 164931005 704997005",
    "HYP": "253352002 253339007 55827005",
}
"""Those that name a form of the waves there, or lie near a diagnosis."""


@pytest.mark.parametrize("name", SURE)
@pytest.mark.parametrize("variant", ["strict", "wide"])
def test_a_code_that_names_a_diagnosis_makes_its_superclass_present_and_the_others_absent(name: str, variant) -> None:
    for code in SURE[name].split():
        assert CHALLENGE.labels([code, "426783006"], variant) == {one: one == name for one in SUPERCLASSES}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_a_doubtful_code_is_unknown_or_present_as_is_asked(name: str) -> None:
    for code in DOUBTFUL[name].split():
        strict, wide = (CHALLENGE.labels([code], variant) for variant in ("strict", "wide"))
        assert (strict[name], strict["NORM"]) == (None, None)
        assert (wide[name], wide["NORM"]) == (True, False)
        others = [one for one in SUPERCLASSES if one not in (name, "NORM")]
        assert [strict[one] for one in others] == [wide[one] for one in others] == [False] * 3


@pytest.mark.parametrize(
    ("codes", "strict", "wide"),
    [
        (["426783006"], True, True),  # sinus rhythm and nothing else
        (["426783006", "427393009"], None, True),  # with sinus arrhythmia
        (["426177001"], None, True),  # sinus bradycardia
        (["164889003"], None, None),  # atrial fibrillation
        (["164890007"], False, False),  # atrial flutter
        (["426783006", "59118001"], False, False),  # right bundle branch block
        (["426783006", "251238007"], None, None),  # a code that no list has
        ([], None, None),
    ],
)
def test_normal_is_what_has_no_other_code(codes: list[str], strict: bool | None, wide: bool | None) -> None:
    assert CHALLENGE.labels(codes, "strict")["NORM"] is strict
    assert CHALLENGE.labels(codes, "wide")["NORM"] is wide


def test_what_a_collection_does_not_label_is_unknown_and_never_absent() -> None:
    found = CHALLENGE.labels(["59118001"], "strict", not_labelled=("MI", "HYP"))
    assert found == {"NORM": False, "MI": None, "STTC": False, "CD": True, "HYP": None}
    assert CHALLENGE.labels(["164865005"], "strict", not_labelled=("MI",))["MI"] is True


def test_what_is_said_with_doubt_counts_as_doubtful() -> None:
    codes, doubtful = sph.statements_of("312+142; 145+362 ;105")
    assert (codes, doubtful) == (["142", "145+362", "105"], ["142"])
    strict, wide = (MAPS["sph"].labels(codes, variant, doubtful=doubtful) for variant in ("strict", "wide"))
    assert strict == {"NORM": False, "MI": False, "STTC": None, "CD": True, "HYP": None}
    assert wide == {"NORM": False, "MI": False, "STTC": True, "CD": True, "HYP": True}


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("1;1", ["1"]),
        ("160+330", ["160"]),
        ("147+367", ["147+367"]),
        ("146+362", ["146"]),
        ("22; ;23;", ["22", "23"]),
        ("105+106", ["105+106"]),
        ("330", ["330"]),
        ("", []),
    ],
)
def test_statements_are_told_from_their_modifiers(text: str, codes: list[str]) -> None:
    assert sph.statements_of(text) == (codes, [])


@st.composite
def coded(draw: st.DrawFn) -> tuple[LabelMap, list[str]]:
    of = MAPS[draw(st.sampled_from(sorted(MAPS)))]
    codes = draw(st.lists(st.sampled_from([*sorted(of.says), "no such code"]), max_size=6, unique=True))
    return of, codes


@given(coded())
def test_wide_finds_more_and_an_unlisted_code_makes_nothing_present_or_absent(
    found: tuple[LabelMap, list[str]],
) -> None:
    of, codes = found
    strict, wide = of.labels(codes, "strict"), of.labels(codes, "wide")
    for name in SUPERCLASSES:
        if strict[name] is not None:
            # What is beyond doubt stays, but that a doubtful finding ends a normal ECG.
            assert wide[name] is strict[name]
    with_another = of.labels([*codes, "another"], "strict")
    for name in SUPERCLASSES:
        assert with_another[name] in (strict[name], None)
    assert sum(value is True for name, value in strict.items() if name != "NORM") == 0 or strict["NORM"] is False


@given(st.text(max_size=200))
def test_any_text_in_place_of_statements_is_taken_apart_or_left_as_it_stands(text: str) -> None:
    codes, doubtful = sph.statements_of(text)
    assert set(doubtful) <= set(codes)
    assert len(set(codes)) == len(codes)
    labels = MAPS["sph"].labels(codes, "strict", doubtful=doubtful)
    if MAPS["sph"].unknown(codes):
        assert False not in [labels[name] for name in SUPERCLASSES if name != "NORM"]


def test_every_statement_of_sph_and_every_code_of_the_challenge_is_listed() -> None:
    numbers = "1 21 22 23 30 31 36 37 50 51 54 60 80 81 82 83 84 85 86 87 88 101 102 104 105 106 108 120 121 125 "
    numbers += "140 142 143 145 146 147 148 152 153 155 160 161 165 166"
    of_sph = numbers.split()
    assert len(of_sph) == 44
    assert MAPS["sph"].unknown(of_sph) == []
    # 30 scored and 103 unscored diagnoses.
    assert len(CHALLENGE.says) == 133


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("1,a,MI,strict,s\n1,a,MI,wide,s", "line 3: code '1': MI stands there twice"),
        ("1,a,MI,sure,s", "received superclass 'MI', scope 'sure'; allowed: NORM, MI"),
        ("1,a,AF,strict,s", "received superclass 'AF'"),
        ("1,a,MI,strict,", "code, name and source are needed"),
        ("1,a,MI,strict,s\n1,b,STTC,wide,s", "name 'b'; 'a' stands above"),
    ],
)
def test_a_map_that_is_not_one_is_refused_by_its_line(lines: str, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "map.csv"
    file.write_text(f"code,name,superclass,scope,source\n{lines}\n")
    with pytest.raises(CohortError, match=problem):
        read_label_map(file)
    file.write_text("code,name\n1,a\n")
    with pytest.raises(CohortError, match="column superclass, scope, source missing; received code, name"):
        read_label_map(file)


def test_the_maps_come_with_the_package() -> None:
    assert {f"{name}.csv" for name in MAPS} <= {file.name for file in files("leadwise.datasets.external").iterdir()}
