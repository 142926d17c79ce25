"""WFDB headers as datasets use them: what they say of the recording and the patient, before any sample is read."""

from dataclasses import dataclass
from pathlib import Path

from leadwise.ecg.formats.base import ReaderError, bytes_at
from leadwise.ecg.formats.parsing import standard_lead
from leadwise.ecg.formats.patient import checked_facts, facts_of, pairs_in
from leadwise.ecg.formats.wfdb_record import Header, read_header
from leadwise.ecg.leads import INDEPENDENT_LEADS


@dataclass(frozen=True)
class HeaderRow:
    """A header, or why there is none.

    Attributes:
        header: None where it cannot be read: so the recording is named when it is read.
        facts: of the patient, by the names of features.
        problems: what was given of the patient and could not be taken, in one line.
    """

    header: Header | None
    facts: dict[str, float]
    problems: str | None

    @property
    def comments(self) -> tuple[str, ...]:
        """Lines of comment without their mark."""
        return () if self.header is None else tuple(line.lstrip("#").strip() for line in self.header.comments)

    @property
    def why_not_12_leads(self) -> str | None:
        """Which leads a 12-lead ECG needs and the header does not name; None where nothing is missing."""
        if self.header is None:
            return None
        names = [line.description for line in self.header.signals]
        known = {found[0] for name in names if (found := standard_lead(name))}
        missing = [lead for lead in INDEPENDENT_LEADS if lead not in known]
        return f"no 12-lead ECG: holds {', '.join(names)} only; {', '.join(missing)} missing" if missing else None


def read_header_row(file: Path) -> HeaderRow:
    """Read a header and the facts in its comments."""
    try:
        header = read_header(file.name, bytes_at(file).decode("utf-8", errors="replace"))
    except ReaderError:
        return HeaderRow(None, {}, None)
    facts, notes = checked_facts(facts_of(pairs_in(header.comments)))
    return HeaderRow(header, facts, " ".join(notes) or None)
