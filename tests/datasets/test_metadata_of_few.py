import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadwise.datasets.metadata import FEATURE_SETS, MetadataError, MetadataTransformer
from leadwise.features import asked_names

RNG = np.random.default_rng(3)
PATIENTS = pd.DataFrame({name: RNG.uniform(0.5, 190, 60) for name in asked_names()})

values = st.none() | st.just(float("nan")) | st.integers(-5, 300) | st.floats(0.01, 400) | st.floats(-10, -0.01)


@given(patients=st.lists(st.dictionaries(st.sampled_from([*asked_names(), "shoe_size"]), values), max_size=3))
def test_a_few_patients_are_transformed_as_a_table_of_their_rows(patients: list[dict[str, float | None]]) -> None:
    for feature_set in FEATURE_SETS:
        stages = {"infarction_stadium1": ["Stadium I"] * 60, "infarction_stadium2": ["unknown"] * 60}
        transformer = MetadataTransformer.fit(PATIENTS.assign(**stages), feature_set)
        of_table = transformer.transform(pd.DataFrame(patients))
        np.testing.assert_array_equal(transformer.transform_many(patients), of_table)
        for patient, row in zip(patients, of_table, strict=True):
            np.testing.assert_array_equal(transformer.transform_one(patient), row[np.newaxis])


@pytest.mark.parametrize(("value", "message"), [("old", "age: received something"), (float("inf"), "age: .*infinite")])
def test_what_is_no_number_is_refused_by_name(value: float, message: str) -> None:
    with pytest.raises(MetadataError, match=message):
        MetadataTransformer.fit(PATIENTS, "clinical").transform_one({"age": value})
