"""The metadata transformer: what the network sees of a patient."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer

from leadwise.datasets.metadata import MetadataError, MetadataTransformer
from leadwise.features import FEATURES, Feature, asked_names, feature_names, stored_names

CLINICAL = ("age", "sex", "height_cm", "weight_kg", "bmi", "bsa", "pacemaker")


def values_of(one: Feature) -> st.SearchStrategy[object]:
    known = st.sampled_from([*one.codes] or [0, 1]) if one.codes or one.choices else st.floats(one.low, one.high)
    return st.none() | known


STORED = st.fixed_dictionaries({name: values_of(FEATURES[name]) for name in stored_names()})
PATIENTS = st.lists(STORED, min_size=1, max_size=12).map(pd.DataFrame)
SETS = st.sampled_from(["clinical", "original"])
ODD = st.none() | st.just(float("nan")) | st.integers(-5, 300) | st.floats(0.01, 400) | st.floats(-10, -0.01)
ODD_PATIENTS = st.lists(st.dictionaries(st.sampled_from([*asked_names(), "shoe_size"]), ODD), max_size=3)


def three_patients() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "age": [50.0, 60.0, 70.0],
            "sex": [0, 1, 1],
            "height_cm": [180.0, None, 160.0],
            "weight_kg": [81.0, 64.0, None],
            "pacemaker": [0, 0, 1],
            "infarction_stadium1": ["Stadium III", None, "unknown"],
            "infarction_stadium2": [None, None, "Stadium II-III"],
        }
    )


@given(fitted=PATIENTS, seen=PATIENTS, feature_set=SETS)
def test_a_transformer_survives_json_and_never_emits_nan(fitted, seen, feature_set):
    transformer = MetadataTransformer.fit(fitted, feature_set)
    again = MetadataTransformer.from_dict(json.loads(json.dumps(transformer.to_dict())))
    assert again == transformer
    values = transformer.transform(seen)
    np.testing.assert_array_equal(again.transform(seen), values)
    assert values.shape == (len(seen), transformer.width)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    assert np.isfinite(transformer.all_unknown()).all()


@given(fitted=PATIENTS, seen=PATIENTS, feature_set=SETS)
def test_each_row_is_transformed_on_its_own(fitted, seen, feature_set):
    transformer = MetadataTransformer.fit(fitted, feature_set)
    whole = transformer.transform(seen)
    for row in range(len(seen)):
        np.testing.assert_array_equal(transformer.transform(seen.iloc[[row]])[0], whole[row])


@given(fitted=PATIENTS, seen=ODD_PATIENTS, feature_set=SETS)
def test_a_few_patients_are_transformed_as_a_table_of_their_rows(fitted, seen, feature_set):
    transformer = MetadataTransformer.fit(fitted, feature_set)
    of_table = transformer.transform(pd.DataFrame(seen))
    np.testing.assert_array_equal(transformer.transform_many(seen), of_table)
    for patient, row in zip(seen, of_table, strict=True):
        np.testing.assert_array_equal(transformer.transform_one(patient), row[np.newaxis])


def test_body_mass_index_and_body_surface_area_match_published_values():
    patients = pd.DataFrame({"height_cm": [180.0, 160.0, 0.0, np.nan], "weight_kg": [81.0, 64.0, 70.0, 70.0]})
    transformer = replace(
        MetadataTransformer.fit(patients, "clinical"), fill=(-1.0,) * 7, mean=(0.0,) * 7, sd=(1.0,) * 7
    )
    values = transformer.transform(patients)
    np.testing.assert_allclose(values[:, 4], [25.0, 25.0, -1, -1], rtol=1e-6)
    # Mosteller 1987: sqrt(cm x kg / 3600).
    np.testing.assert_allclose(values[:, 5], [2.0124612, 1.6865480, -1, -1], rtol=1e-6)


def test_clinical_columns_are_the_served_seven_and_their_masks_whatever_the_stages_of_an_infarction():
    transformer = MetadataTransformer.fit(three_patients(), "clinical")
    assert transformer.width == 14
    assert transformer.column_names == CLINICAL + tuple(f"{name}_unknown" for name in CLINICAL)
    without = three_patients().drop(columns=["infarction_stadium1", "infarction_stadium2"])
    assert MetadataTransformer.fit(without, "clinical") == transformer


def test_clinical_imputes_the_median_and_scales_by_the_known_values():
    rng = np.random.default_rng(0)
    patients = pd.DataFrame({name: rng.normal(100, 10, 200) for name in ("age", "height_cm", "weight_kg")})
    patients = patients.mask(rng.random(patients.shape) < 0.4)
    transformer = MetadataTransformer.fit(patients, "clinical")
    values = transformer.transform(patients)
    imputed = SimpleImputer(strategy="median").fit_transform(patients)
    expected = (imputed - patients.mean().to_numpy()) / patients.std(ddof=0).to_numpy()
    np.testing.assert_allclose(values[:, [0, 2, 3]], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(values[:, [7, 9, 10]], patients.isna())


def test_an_absent_pacemaker_note_means_no_pacemaker_and_is_known():
    transformer = MetadataTransformer.fit(three_patients(), "clinical")
    noted, absent = transformer.transform(pd.DataFrame({"pacemaker": [0, None]}))
    np.testing.assert_array_equal(noted, absent)
    assert absent[-1] == 0


def test_absent_columns_none_and_nan_all_mean_unknown():
    transformer = MetadataTransformer.fit(three_patients(), "clinical")
    absent = transformer.transform(pd.DataFrame(index=[0]))
    none = transformer.transform(pd.DataFrame({"age": [None], "sex": [None]}, dtype=object))
    nan = transformer.transform(pd.DataFrame({"age": [np.nan], "weight_kg": [pd.NA]}))
    np.testing.assert_array_equal(absent, none)
    np.testing.assert_array_equal(absent, nan)


def test_the_hidden_vector_is_the_imputed_one_with_every_mask_set():
    transformer = MetadataTransformer.fit(three_patients(), "clinical")
    unknown = transformer.transform(pd.DataFrame(index=[0]))[0]
    np.testing.assert_array_equal(transformer.all_unknown()[:7], unknown[:7])
    np.testing.assert_array_equal(transformer.all_unknown()[7:], np.ones(7))


def test_original_codes_the_stages_and_writes_zero_for_unknown():
    patients = three_patients()
    transformer = MetadataTransformer.fit(patients, "original")
    assert transformer.column_names == feature_names("original")
    raw = transformer.transform(patients) * transformer.sd + transformer.mean
    expected = [[50, 0, 180, 81, 5, 0, 0], [60, 1, 0, 64, 0, 0, 0], [70, 1, 160, 0, 0, 4, 1]]
    np.testing.assert_allclose(raw, expected, atol=1e-4)
    np.testing.assert_allclose(transformer.transform(patients).mean(axis=0), 0, atol=1e-6)


@pytest.mark.parametrize(
    ("patients", "named"),
    [
        ({"age": ["seventy"]}, "age"),
        ({"weight_kg": [float("inf")]}, "weight_kg"),
        ({"infarction_stadium1": ["Stadium IV"]}, "Stadium IV"),
    ],
)
def test_what_is_no_number_or_no_stage_is_named(patients, named):
    transformer = MetadataTransformer.fit(three_patients(), "original")
    with pytest.raises(MetadataError, match=named):
        transformer.transform(pd.DataFrame(patients))
    with pytest.raises(MetadataError, match=named):
        transformer.transform_one({name: value for name, (value,) in patients.items()})


def test_a_dictionary_of_another_version_or_a_table_without_rows_is_refused():
    content = MetadataTransformer.fit(three_patients(), "clinical").to_dict()
    with pytest.raises(MetadataError, match="features"):
        MetadataTransformer.from_dict(content | {"features": ["shoe_size", *CLINICAL[1:]]})
    with pytest.raises(MetadataError, match="feature_set: received 'secret'"):
        MetadataTransformer.from_dict(content | {"feature_set": "secret"})
    with pytest.raises(MetadataError, match="mean"):
        MetadataTransformer.from_dict(content | {"mean": [1.0]})
    with pytest.raises(MetadataError, match="0 rows"):
        MetadataTransformer.fit(three_patients().iloc[:0], "clinical")
