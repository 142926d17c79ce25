"""What every reader may be given at most, and how it says that a file cannot be read."""

from collections.abc import Iterator
from contextlib import contextmanager

from leadwise.contract import LeadwiseError
from leadwise.signals.recording import HIGHEST_FS_HZ, LONGEST_S

LARGEST_FILE = 64 * 2**20
"""Bytes of one file, and of everything that a zip holds, unpacked."""
MOST_FILES = 64
"""Files of one recording, and members of a zip."""
MOST_CHANNELS = 256
"""Signals of one file: an ECG has 12, a polysomnogram with one among them some dozens."""
MOST_SAMPLES = int(LONGEST_S * HIGHEST_FS_HZ)
"""Samples of one channel: the longest recording at the highest sampling rate that is read."""
MOST_NUMBERS = 16 * MOST_SAMPLES
"""Numbers of one table or array: 12 leads of the most samples, and some columns more."""

LONGEST_NAME = 60
LONGEST_ECHO = 20
"""A message repeats no more than this of a text in a file: it may be a patient's."""


class ReaderError(LeadwiseError):
    """A file cannot be read as an ECG; the message names the file, the field, what was received, what is allowed.

    Attributes:
        file: name of the file, without its folder.
        field: the part of the file that is wrong, such as ``leads`` or ``fs_hz``.
        problem: what was received and what is allowed; never samples, nor more than a few characters of a text.
    """

    def __init__(self, file: str, field: str, problem: str) -> None:
        super().__init__(f"{shown_name(file)}: {field}: {problem}")
        self.file = file
        self.field = field
        self.problem = problem


def shown_name(name: str) -> str:
    """A file's name as a message shows it: without its folder, printable, not too long."""
    base = name.replace("\\", "/").rpartition("/")[2]
    printable = base if base.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in base)
    return printable if len(printable) <= LONGEST_NAME else f"{printable[: LONGEST_NAME - 3]}..."


def shown_text(text: str) -> str:
    """A text of a file as a message shows it: in full only if it is short."""
    return repr(text) if len(text) <= LONGEST_ECHO else f"text of {len(text)} characters"


@contextmanager
def by_library(file: str, field: str, needed: str) -> Iterator[None]:
    """Name the part of a file over which a library stumbles: it may raise anything.

    Its own message may repeat what is private, so only its kind is told.

    Args:
        file: name of the file.
        field: the part that the library reads.
        needed: what is allowed there.

    Raises:
        ReaderError: for whatever the library raises.
    """
    try:
        yield
    except ReaderError:
        raise
    except Exception as error:
        raise ReaderError(file, field, f"cannot be decoded ({type(error).__name__}); {needed}") from None
