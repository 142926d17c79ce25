"""Which recording: an example, a file of one's own, or none."""

import hashlib
import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from leadwise.app.answer import html_of
from leadwise.app.model_source import RECORDINGS_KEPT, ShownRecording, TruthFrom, remembered
from leadwise.app.patient_form import ask
from leadwise.contract import (
    FS_HZ,
    LEADS,
    SUPERCLASS_NAMES,
    SUPERCLASSES,
    TEST_FOLD,
    VALIDATION_FOLD,
    ECGRecord,
    LeadwiseError,
)
from leadwise.datasets.tables import Tables, clean, read_tables
from leadwise.datasets.waveforms import UnreadableRecord, read_record
from leadwise.ecg.assessment import assess
from leadwise.ecg.formats import LARGEST_FILE, ReadECG, ReaderError, formats_read, read_ecg
from leadwise.ecg.record import Recording, RecordingError, build_recording
from leadwise.features import asked_names
from leadwise.serving.client import request_row

SIMULATED: Mapping[str, tuple[str, int]] = {
    "NORM": ("NORM", 4),
    "MI": ("AMI", 4),
    "STTC": ("ISCAL", 3),
    "CD": ("CLBBB", 5),
    "HYP": ("LVH", 7),
}
"""Class -> statement and seed of the simulator."""
NOISE = 0.5
"""Half of the usual, so that small waves can be pointed at."""


def simulated_examples() -> dict[str, ShownRecording]:
    """Class -> a simulated recording; no patient stands behind it."""
    from leadwise.datasets.synthetic import simulate_record

    found = {}
    for superclass, (code, seed) in SIMULATED.items():
        name = statement_names([code])
        about = f"Simulated, no patient: {name}, as the simulator draws it."
        record = simulate_record(code, seed, noise=NOISE)
        found[superclass] = _example(record, f"Simulated: {name}", about, (superclass,), "simulated")
    return found


def statement_names(codes: Iterable[str]) -> str:
    """The statements in plain English, with commas."""
    from leadwise.datasets.releases import STATEMENT_TABLE

    names = {statement.code: statement.name for statement in STATEMENT_TABLE}
    return ", ".join(names.get(code, code) for code in codes)


def _example(
    record: ECGRecord, title: str, about: str, truth: tuple[str, ...], truth_from: TruthFrom
) -> ShownRecording:
    """Twelve leads in standard order."""
    row = {"signal": record.signal_mv, "leads": LEADS, "fs_hz": record.fs_hz, "units": "mV", "order": "time_lead"}
    return replace(_case(row, title, record), about=about, truth=truth, truth_from=truth_from)


def case_of_file(read: ReadECG) -> ShownRecording:
    """A file whose questions are all answered.

    Raises:
        ReaderError: a question is open, or the recording cannot be an ECG.
    """
    record = read.recording().record
    # As the file gives it, so that the answer tells of missing samples and computed leads.
    return _case(read.array_row(), read.file, replace(record, patient=dict(read.patient)))


def _case(row: Mapping[str, Any], title: str, record: ECGRecord) -> ShownRecording:
    signal = request_row({name: value for name, value in row.items() if name not in asked_names()})
    key = hashlib.blake2b(json.dumps([title, signal]).encode(), digest_size=12).hexdigest()
    return ShownRecording(key, title, record, signal, dict(record.patient))


@dataclass(frozen=True)
class Upload:
    """One file in memory; ``file_id`` is Streamlit's, another one for each upload."""

    file_id: str
    name: str
    content: bytes


def uploaded_case() -> ShownRecording | None:
    """Draw the upload and what was understood of it; ``None`` until it can be asked about."""
    st.file_uploader(
        f"One recording, up to {LARGEST_FILE // 2**20} MB; of WFDB the .hea and the .dat together",
        accept_multiple_files=True,
        key="upload",
        on_change=_keep,
        help=f"Read are: {formats_read()}. Files stay in memory and are forgotten with the session.",
    )
    files: list[Upload] = st.session_state.get("files", [])
    if not files:
        st.info(
            "Drag a file into the field above, or choose an example. Nothing is stored.", icon=":material/upload_file:"
        )
        return None
    if not st.session_state["upload"]:
        st.button("Forget this file", on_click=_forget)
    return _case_of(files)


def _keep() -> None:
    """Streamlit's uploader forgets its files while another source is shown."""
    st.session_state["files"] = [
        Upload(file.file_id, file.name, file.getvalue()) for file in st.session_state["upload"]
    ]


def _forget() -> None:
    for name in ("files", "remembered-read", "remembered-case"):
        st.session_state.pop(name, None)


def _case_of(files: list[Upload]) -> ShownRecording | None:
    above = st.container()
    try:
        if len({file.name for file in files}) < len(files):
            raise ReaderError(files[0].name, "files", "received two files of this name")
        read, answers = _understood(files)
        with above, st.expander("What was understood", expanded=True):
            st.html(html_of("understood", read))
        if read.questions:
            return None
        return remembered("case", _identity(files, answers), lambda: case_of_file(read), kept=RECORDINGS_KEPT)
    except ReaderError as error:
        st.html(html_of("alert", f"This cannot be read. {error}"))
        return None


def _understood(files: list[Upload]) -> tuple[ReadECG, dict[str, Any]]:
    """What was read with the answers given so far, and these; an answer may lead to another question."""
    answers: dict[str, Any] = {}
    asked: set[str] = set()
    while True:
        read = _read(files, answers)
        questions = [question for question in read.questions if question.field not in asked]
        asked |= {question.field for question in questions}
        new = ask(questions, files[0].file_id)
        if not new:
            return read, answers
        answers |= new


def _read(files: list[Upload], hints: Mapping[str, Any]) -> ReadECG:
    name = files[0].name if len(files) == 1 else ""
    source = files[0].content if len(files) == 1 else {file.name: file.content for file in files}
    return remembered(
        "read", _identity(files, hints), lambda: read_ecg(source, name=name, **hints), kept=RECORDINGS_KEPT
    )


def _identity(files: list[Upload], answers: Mapping[str, Any]) -> tuple[object, ...]:
    return (tuple(file.file_id for file in files), tuple(sorted(answers.items())))


EXAMPLE, UPLOAD, NOTHING, VALIDATE = "Example", "My own file", "No recording", "Validate"


ByNumber = Callable[[int], ShownRecording]
"""The number of a record of PTB-XL -> that record."""


def choose_source() -> str:
    """Draw the choice of where recordings come from."""
    source = st.segmented_control(
        "Recording",
        [EXAMPLE, UPLOAD, NOTHING, VALIDATE],
        key="source",
        required=True,
        width="stretch",
        label_visibility="collapsed",
    )
    return str(source)


def choose_case(
    source: str, examples: Mapping[str, ShownRecording], by_number: ByNumber | None = None
) -> ShownRecording | None:
    """Draw the choice of a recording; ``None`` as long as nothing can be asked about.

    Args:
        source: where it comes from.
        examples: one per class.
        by_number: where a PTB-XL tree is at hand.
    """
    if source == UPLOAD:
        return uploaded_case()
    if source == NOTHING:
        return ShownRecording("none", "Before any ECG: people like this")
    return _example_case(examples, by_number)


def _example_case(examples: Mapping[str, ShownRecording], by_number: ByNumber | None) -> ShownRecording | None:
    pills, number = st.columns([3, 1], vertical_alignment="center") if by_number else (st.container(), None)
    with pills:
        superclass = st.pills(
            "One example per class",
            SUPERCLASSES,
            key="example",
            required=True,
            format_func=lambda name: SUPERCLASS_NAMES[name],
            label_visibility="collapsed",
        )
    example = examples[str(superclass)]
    if number is not None and by_number is not None:
        chosen = number.number_input(
            "A PTB-XL record by its number",
            1,
            value=None,
            step=1,
            key="record",
            placeholder="or a record's number",
            label_visibility="collapsed",
        )
        if chosen is not None:
            try:
                example = by_number(int(chosen))
            except LeadwiseError as error:
                st.html(html_of("alert", str(error)))
                return None
    st.caption(example.about)
    return example


REMARKS: tuple[str, ...] = (
    "baseline_drift", "static_noise", "burst_noise", "electrodes_problems", "extra_beats", "pacemaker",
)  # fmt: skip
"""Columns of PTB-XL that are empty where there was nothing to remark."""


def ptbxl_examples(tree: Path) -> dict[str, ShownRecording]:
    """Class -> a record of fold 9 that cardiologists gave this class and no other, and of which nothing is remarked.

    Fold 9 chose epochs and thresholds, but no network was trained on it; fold 10 is left alone. Of each class, the
    record with the fewest statements is taken, its diagnosis certain, whose signal raises no quality flag.

    Args:
        tree: a PTB-XL tree with its records at 100 Hz; of a simulated one the examples are marked so.

    Raises:
        LeadwiseError: a class has no such record.
        LeadwiseError: it is no PTB-XL tree.
    """
    tables = read_tables(tree)
    in_fold = tables.numbers()["strat_fold"] == VALIDATION_FOLD
    unremarked = tables.database.reindex(columns=list(REMARKS)).isna().all(axis=1)
    records = clean(replace(tables, database=tables.database[in_fold & unremarked])).records
    alone = records[records[list(SUPERCLASSES)].sum(axis=1) == 1]
    found = {name: next(_examples(tables, alone[alone[name]]), None) for name in SUPERCLASSES}
    if lacking := [name for name, example in found.items() if example is None]:
        raise LeadwiseError(
            f"tree: {tree}: fold {VALIDATION_FOLD} has no clean record of {lacking[0]} alone, diagnosed with "
            "certainty and readable at 100 Hz; one of each class is needed"
        )
    return {name: example for name, example in found.items() if example}


def _examples(tables: Tables, rows: pd.DataFrame) -> Iterator[ShownRecording]:
    found = [(json.loads(row["scp_codes"]), row) for row in rows.to_dict("records")]
    for codes, row in sorted(found, key=lambda pair: len(pair[0])):
        if any(likelihood < 100 for code, likelihood in codes.items() if code in tables.classes):
            continue
        try:
            recording = _recording(tables.tree, row)
        except (UnreadableRecord, RecordingError):
            continue
        if assess(recording).flags:
            continue
        yield _of_tree(tables, row, recording.record)


def ptbxl_record(tables: Tables, number: int) -> ShownRecording:
    """One record of a PTB-XL tree, whatever it shows.

    Args:
        tables: of the tree.
        number: its ``ecg_id``.

    Raises:
        LeadwiseError: the tree has no such record, or its waveform cannot be read.
    """
    rows = clean(replace(tables, database=tables.database[tables.numbers()["ecg_id"] == number])).records
    for row in rows.to_dict("records"):
        try:
            return _of_tree(tables, row, _recording(tables.tree, row).record)
        except (UnreadableRecord, RecordingError) as error:
            raise LeadwiseError(f"record {number}: {error}") from None
    last = int(tables.numbers()["ecg_id"].max())
    raise LeadwiseError(f"record: received {number}; {tables.tree} has no such number, its last is {last}")


FOLD_WORDS: Mapping[int, str] = {
    VALIDATION_FOLD: "on which no network was trained",
    TEST_FOLD: "which nothing was trained or chosen on",
}


def _of_tree(tables: Tables, row: Mapping[Hashable, Any], record: ECGRecord) -> ShownRecording:
    fold, codes = int(row["strat_fold"]), json.loads(row["scp_codes"])
    trained_on = "on which networks are trained: expect a better answer than elsewhere"
    source, noted = ("A simulated tree", "It has") if tables.simulated else ("PTB-XL", "Cardiologists noted")
    where = f"record {row['ecg_id']} of fold {fold}, {FOLD_WORDS.get(fold, trained_on)}"
    return _example(
        record,
        f"{'Simulated' if tables.simulated else 'PTB-XL'}: record {row['ecg_id']}",
        f"{source}: {where}. {noted}: {statement_names(codes) or 'nothing'}.",
        tuple(name for name in SUPERCLASSES if row[name]),
        "simulated" if tables.simulated else "cardiologists",
    )


def _recording(tree: Path, row: Mapping[Hashable, Any]) -> Recording:
    patient = {name: None if np.isnan(row[name]) else float(row[name]) for name in asked_names()}
    signal_mv = read_record(tree / str(row["filename"])) / 1000
    return build_recording(signal_mv, fs_hz=FS_HZ, leads=LEADS, patient=patient, record_id=f"ptb-xl-{row['ecg_id']}")
