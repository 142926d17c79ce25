"""What only the reader of a file can notice of a recording, and no look at its samples: flags of an answer as well.

They travel with the recording, in a request over REST too, as the flag's name and its leads; the words are these.
"""

from collections.abc import Mapping
from typing import Literal

ReaderFlag = Literal[
    "ends_cut", "checksum_mismatch", "file_incomplete", "rate_suspected", "electrode_off", "baseline_sway"
]

READER_FLAGS: Mapping[ReaderFlag, str] = {
    "ends_cut": "samples at the ends, where no lead has a value",
    "checksum_mismatch": "the checksum in the file does not fit its samples: the file may be damaged",
    "file_incomplete": "the file announces another number of samples than it holds: it may be cut off",
    "rate_suspected": "the times or the header of the file tell another sampling rate than the one that was taken",
    "electrode_off": "the device noted that an electrode was off",
    "baseline_sway": "the device noted a swaying baseline",
}
"""Flag -> its detail in an answer."""
