"""Validate on one's own recordings: many of them with a table of labels in, the report of ``leadwise validate`` out."""

import base64
import io
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st

from leadwise.app.answer import choose_policy, html_of
from leadwise.app.model_source import ModelSource
from leadwise.atomic import temporary_folder
from leadwise.config import Validate
from leadwise.contract import LeadwiseError
from leadwise.datasets.uploads import MOST_RECEIVED, MOST_RECORDINGS, MOST_UNPACKED, unpack_uploads
from leadwise.evaluation import METRICS_FILE, REPORT_FILE
from leadwise.evaluation.cohort_metrics import FEWEST_KNOWN
from leadwise.registry.external_validation import (
    ANSWERS_FILE,
    Stage,
    StageProgress,
    Validated,
    cohort_of,
    command_of,
    validate_model,
)
from leadwise.registry.load import LoadedPackage

DATASET = "table"
FOLDER = "own-recordings"
"""Of the temporary folder."""
MB = 2**20
RESEARCH_ONLY = (
    "For research only: a report on some hundred recordings does not make Leadwise fit for use on patients. Take names "
    "and numbers of patients out before you send anything."
)
HOW = (
    f"A zip archive, or files, of up to {MOST_RECORDINGS} recordings ({MOST_RECEIVED // MB} MB in all, "
    f"{MOST_UNPACKED // MB} MB unpacked) and a table: records.csv or records.parquet, a row per recording"
)
TABLE = """The table has a column `file` (a path, counted from the table's folder) and one or more of `NORM`, `MI`,
`STTC`, `CD` and `HYP`: 1 present, 0 absent, empty for not known. It may have `record_id`, `patient_id`, `source`,
`device`, `age`, `sex`, `height_cm`, `weight_kg` and `pacemaker`. What is called otherwise, or what the files do not
say, stands below, as in `leadwise validate --options`:"""
KEPT = "They lie in a folder of their own while they are scored and are deleted then; the report goes with the session."
FEW_SHOW = (
    "So few recordings show whether files, units and leads are read as they should be, and a large drop. They do not "
    "show a small one, nor how well the model does in your hospital."
)


@dataclass(frozen=True)
class OwnReport:
    """What came of it; a session holds it in memory.

    Attributes:
        html: the report, as ``leadwise validate`` writes it.
        archive: the report with its figures and answers, as zip.
        found: how many were received, answered, refused, flagged and left out, the mean AUROC and which classes it
            leaves out, in sentences.
        unchecked: what was not checked, in sentences.
    """

    html: str
    archive: bytes
    found: tuple[str, ...]
    unchecked: tuple[str, ...]


def validate_uploads(
    files: Sequence[tuple[str, bytes]], package: LoadedPackage, *, policy: str, options: str, progress: StageProgress
) -> OwnReport:
    """Score recordings that were sent with their table, and report; nothing of them is left on the disk.

    The suites of checks are not run: they need Great Expectations, which serving is free of.

    Args:
        files: name and content of each, as ``unpack_uploads`` takes them.
        package: that answers.
        policy: which thresholds decide.
        options: of the table, as ``leadwise validate --options`` takes them.
        progress: told how many recordings were scored and drawn, and of how many.

    Raises:
        LeadwiseError: what was sent cannot be taken; the message names file, row and column.
    """
    with temporary_folder(FOLDER) as folder:
        sent, report = folder / "sent", folder / "report"
        sent.mkdir()
        with _named_as_sent(sent):
            asked = Validate(source=sent, dataset=DATASET, options=options, policy=policy, model=package.name)
            asked = asked.model_copy(update={"source": unpack_uploads(files, sent, cohort_of(asked))})
            again = command_of(asked.model_copy(update={"source": Path(asked.source.name)}))
            made = validate_model(asked, report, command=again, package=package, suites=False, progress=progress)
        html, figures = (file.read_text(encoding="utf-8") for file in (made.report, report / METRICS_FILE))
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(REPORT_FILE, html)
            archive.writestr(METRICS_FILE, figures.replace(f"{sent}/", ""))
            archive.write(report / ANSWERS_FILE, ANSWERS_FILE)
        return OwnReport(html, packed.getvalue(), (_counts(made), *_means(made)), made.scored.checked.warnings)


@contextmanager
def _named_as_sent(folder: Path) -> Iterator[None]:
    """Let errors name files as they were sent, without the folder that nobody knows."""
    try:
        yield
    except LeadwiseError as error:
        raise LeadwiseError(str(error).replace(f"{folder}/", "").replace(str(folder), "the upload")) from None
    except OSError as error:
        raise LeadwiseError(f"The page's disk refuses: {error.strerror or type(error).__name__}") from None


def _counts(validated: Validated) -> str:
    checked, scored = validated.scored.checked, validated.scored
    left_out = len(checked.left_out)
    refused, flagged = int((~scored.answered).sum()), int(scored.flagged.sum())
    return (
        f"{len(checked.table) + left_out} recordings: {int(scored.answered.sum())} answered, {flagged} of them flagged "
        f"for their quality; {refused} refused as no ECG or beyond what the model takes; {left_out} could not be read."
        f"{' The report says why.' if refused or left_out else ''}"
    )


def _means(validated: Validated) -> list[str]:
    found = validated.evaluation
    few = [
        f"{name} ({one.present} with, {one.absent} without)" for name, one in found.known.items() if not one.is_enough
    ]
    notes = []
    mean = found.metrics.get("macro_auroc")
    if mean is not None and np.isfinite(mean.interval.low):
        low, high = mean.interval.low, mean.interval.high
        notes.append(
            f"The mean AUROC over {', '.join(found.counted)} is {mean.value:.3f}; it may be {low:.3f} to {high:.3f} "
            "(95 % interval)."
        )
    if few:
        notes.append(f"Fewer than {FEWEST_KNOWN} with or without it, so in no mean: {', '.join(few)}.")
    return notes


_TURN = threading.Lock()
"""One validation at a time: it takes a processor, and the memory of some hundred recordings."""
WAITED_S = 0.5


def show_validation(model: ModelSource) -> None:
    """Draw the upload, and the report once there is one."""
    st.html(html_of("heading", "Validate on your own recordings"))
    if model.package is None:
        st.html(
            html_of(
                "alert",
                f"Answers come from {model.title}. Validation needs a model in the page: start it without --url.",
            )
        )
        return
    st.html(html_of("note", RESEARCH_ONLY))
    sent = st.file_uploader(HOW, accept_multiple_files=True, key="own-recordings", help=KEPT)
    with st.expander("What the table holds, and what the files do not say"):
        st.markdown(TABLE)
        options = st.text_input(
            "Options of the table",
            key="own-options",
            placeholder='fs_hz:500,units:uV or {"columns": {"MI": "infarct"}}',
            label_visibility="collapsed",
        )
    policy = choose_policy(model, DATASET)
    if st.button("Validate", type="primary", disabled=not sent, icon=":material/play_arrow:"):
        st.session_state.pop("own-report", None)
        bar = st.progress(0.0, "Unpacking")
        try:
            with _turn(lambda: bar.progress(0.0, "Another visitor's recordings are being scored; yours come next")):
                st.session_state["own-report"] = validate_uploads(
                    [(file.name, file.getvalue()) for file in sent],
                    model.package,
                    policy=policy,
                    options=options,
                    progress=lambda stage, done, of: bar.progress(done / of, _told(stage, done, of)),
                )
        except LeadwiseError as error:
            st.html(html_of("alert", f"This cannot be validated. {error}"))
        finally:
            bar.empty()
    report = st.session_state.get("own-report")
    if report is not None:
        _show(report)


@contextmanager
def _turn(waiting: Callable[[], object]) -> Iterator[None]:
    """Wait for the others; ``waiting`` is called again and again, so that who leaves meanwhile is let go."""
    while not _TURN.acquire(timeout=WAITED_S):
        waiting()
    try:
        yield
    finally:
        _TURN.release()


def _told(stage: Stage, done: int, of: int) -> str:
    if stage == "scored":
        return f"{done} of {of} recordings are read and answered" if done < of else "Measuring"
    return f"Drawing where model and label disagree most, and why: {done} of {of}"


def _show(report: OwnReport) -> None:
    st.html(html_of("heading", "What came of it"))
    for sentence in report.found:
        st.html(html_of("sentence", sentence))
    st.html(html_of("note", FEW_SHOW))
    for sentence in report.unchecked:
        st.html(html_of("aside", sentence))
    columns = st.columns(3)
    columns[0].download_button(
        "Report, HTML", report.html, "report.html", "text/html", width="stretch", on_click="ignore"
    )
    columns[1].download_button(
        "With figures and answers, ZIP", report.archive, "validation.zip", width="stretch", on_click="ignore"
    )
    columns[2].button("Forget this report", on_click=_forget, width="stretch")
    # An address of its own: what stands in the report cannot reach into the page.
    packed = base64.b64encode(report.html.encode()).decode("ascii")
    st.iframe(f"data:text/html;charset=utf-8;base64,{packed}", height=900)


def _forget() -> None:
    st.session_state.pop("own-report", None)
