"""What PTB-XL must look like: four suites of Great Expectations, each expectation critical or a warning.

A critical one that fails stops the pipeline; a warning is counted and listed. Every expectation says in one sentence
what it asks for. The suites look at the frames of ``leadwise.data.frames``.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from leadwise.contract import SUPERCLASSES
from leadwise.data.metadata import STADIUM_CODES
from leadwise.data.reading import READ, WITHDRAWN_ABSENT
from leadwise.data.store import SPLIT_FOLDS
from leadwise.data.tables import HEIGHT_CM, MAX_AGE, RELEASES, WEIGHT_KG

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

CRITICAL, WARNING = "critical", "warning"
PACEMAKER_NOTES = ("ja, pacemaker", "ja, nan")
AMPLITUDE_MV = (0.1, 20.5)
"""Largest deflection of a record: below, nothing was recorded; above, more than any record of PTB-XL shows."""
ALGEBRA_UV = 50
STANDARD_ERRORS = 4


def table_suite() -> "list[Expectation]":
    """One row per record: identity, folds, patients, statements, what is known about the patient."""
    import great_expectations.expectations as gxe

    def null(column: str, says: str) -> "Expectation":
        return gxe.ExpectColumnValuesToBeNull(column=column, description=says, severity=CRITICAL)

    def between(column: str, low: float, high: float, says: str, severity: str = WARNING) -> "Expectation":
        return gxe.ExpectColumnValuesToBeBetween(
            column=column, min_value=low, max_value=high, description=says, severity=severity
        )

    def among(column: str, values: tuple[object, ...], says: str, severity: str = WARNING) -> "Expectation":
        return gxe.ExpectColumnValuesToBeInSet(
            column=column, value_set=list(values), description=says, severity=severity
        )

    def given(column: str, says: str, severity: str, share: float = 1.0) -> "Expectation":
        return gxe.ExpectColumnValuesToNotBeNull(column=column, mostly=share, description=says, severity=severity)

    return [
        null("not_a_number", "Number columns hold numbers; identifiers and folds hold whole ones"),
        given("ecg_id", "Every record has an ecg_id", CRITICAL),
        gxe.ExpectColumnValuesToBeUnique(column="ecg_id", description="No ecg_id occurs twice", severity=CRITICAL),
        given("patient_id", "Every record names its patient", CRITICAL),
        given("filename", "Every record names its waveform", CRITICAL),
        gxe.ExpectColumnValuesToBeUnique(
            column="filename", description="No waveform belongs to two records", severity=CRITICAL
        ),
        null("outside_the_tree", "Every waveform lies inside the tree"),
        given("strat_fold", "Every record has a fold", CRITICAL),
        between("strat_fold", 1, 10, "Folds are 1 to 10", CRITICAL),
        gxe.ExpectColumnDistinctValuesToContainSet(
            column="split",
            value_set=list(SPLIT_FOLDS),
            description="There are records to train, to validate and to test",
            severity=CRITICAL,
        ),
        among("splits_of_patient", (1,), "No patient is in two of training, validation and test", CRITICAL),
        among("folds_of_patient", (1,), "No patient is in two folds", CRITICAL),
        null("unreadable_statements", "SCP statements can be read"),
        null("unknown_statements", "SCP statements are known"),
        among("sex", (0, 1), "Sex is 0 (male) or 1 (female)", CRITICAL),
        given("sex", "Sex is known", WARNING),
        between("age_or_hidden", 0, MAX_AGE, f"Age is 0 to {MAX_AGE} years, or 300 for over 89"),
        given("age_or_hidden", "Age is known in 95 % of the records", WARNING, 0.95),
        between("height", *HEIGHT_CM, f"Height is {HEIGHT_CM[0]} to {HEIGHT_CM[1]} cm"),
        given("height", "Height is known in 25 % of the records", WARNING, 0.25),
        between("weight", *WEIGHT_KG, f"Weight is {WEIGHT_KG[0]} to {WEIGHT_KG[1]} kg"),
        given("weight", "Weight is known in 35 % of the records", WARNING, 0.35),
        among("pacemaker", PACEMAKER_NOTES, "Pacemaker notes are certain"),
        among("infarction_stadium1", tuple(STADIUM_CODES), "First stage of infarction is one of Wagner et al. 2020"),
        among("infarction_stadium2", tuple(STADIUM_CODES), "Second stage of infarction is one of Wagner et al. 2020"),
    ]


def label_suite(release: str) -> "list[Expectation]":
    """One row per record, a column of 0 and 1 per superclass."""
    import great_expectations.expectations as gxe

    known: Mapping[str, int] = RELEASES.get(release, {})
    counts = [
        gxe.ExpectColumnSumToBeBetween(
            column=name,
            min_value=known.get(name, 1),
            max_value=known.get(name),
            description=f"{known[name]:,} records of release {release} are {name}" if known else f"Some are {name}",
            severity=CRITICAL,
        )
        for name in (*SUPERCLASSES, "unlabelled")
        if known or name != "unlabelled"
    ]
    return [
        *counts,
        gxe.ExpectColumnMeanToBeBetween(
            column="unlabelled", max_value=0.05, description="At most 5 % have no superclass", severity=WARNING
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="NORM_and_other",
            value_set=[0],
            mostly=0.95,
            description="At most 5 % are NORM and something else",
            severity=WARNING,
        ),
    ]


def fold_suite() -> "list[Expectation]":
    """One row per fold, a column per superclass: its share, in standard errors from its share in all folds."""
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnValuesToBeBetween(
            column=name,
            min_value=-STANDARD_ERRORS,
            max_value=STANDARD_ERRORS,
            description=f"{name} is as frequent in every fold, within {STANDARD_ERRORS} standard errors",
            severity=WARNING,
        )
        for name in SUPERCLASSES
    ]


def signal_suite(max_unreadable_share: float) -> "list[Expectation]":
    """One row per record: whether it was read, and the summary of its signals."""
    import great_expectations.expectations as gxe

    def at_most(column: str, limit: float, says: str) -> "Expectation":
        return gxe.ExpectColumnValuesToBeBetween(column=column, max_value=limit, description=says, severity=WARNING)

    return [
        gxe.ExpectColumnValuesToBeInSet(
            column="status",
            value_set=[READ, WITHDRAWN_ABSENT],
            mostly=1 - max_unreadable_share,
            description=f"At most {max_unreadable_share:.3%} of the records are absent or unreadable",
            severity=CRITICAL,
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="status", value_set=[READ], description="Every record was read", severity=WARNING
        ),
        gxe.ExpectColumnValuesToBeNull(
            column="same_as", description="No two records hold the same samples", severity=WARNING
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="largest_mv",
            min_value=AMPLITUDE_MV[0],
            max_value=AMPLITUDE_MV[1],
            description=f"The largest deflection is {AMPLITUDE_MV[0]} to {AMPLITUDE_MV[1]} mV",
            severity=WARNING,
        ),
        at_most("flat_leads", 0, "No lead is flat"),
        at_most("limb_leads_uv", ALGEBRA_UV, f"I + III = II within {ALGEBRA_UV} uV (Einthoven)"),
        at_most("augmented_leads_uv", ALGEBRA_UV, f"aVR + aVL + aVF = 0 within {ALGEBRA_UV} uV (Goldberger)"),
    ]
