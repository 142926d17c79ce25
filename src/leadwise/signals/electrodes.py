"""From what happens at the nine electrodes to the 12 leads: disturbances then obey Einthoven's law as hearts do."""

import numpy as np
from numpy.typing import NDArray

from leadwise.contract import LEADS
from leadwise.signals.leads import LEADS_FROM_I_AND_II

ELECTRODES: tuple[str, ...] = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")
"""The ninth cable of a 12-lead ECG, on the right leg, is the reference that no lead shows."""


def _lead_matrix() -> NDArray[np.float32]:
    """``(12, 9)``: I = LA - RA, II = LL - RA, V1..V6 against Wilson's central terminal, the mean of the limbs."""
    rows = {name: np.zeros(len(ELECTRODES)) for name in LEADS}
    for lead, positive in (("I", "LA"), ("II", "LL")):
        rows[lead][[ELECTRODES.index(positive), ELECTRODES.index("RA")]] = 1, -1
    for lead, (of_i, of_ii) in LEADS_FROM_I_AND_II.items():
        rows[lead] = of_i * rows["I"] + of_ii * rows["II"]
    for lead in ELECTRODES[3:]:
        rows[lead][:3] = -1 / 3
        rows[lead][ELECTRODES.index(lead)] = 1
    return np.stack([rows[name] for name in LEADS]).astype(np.float32)


LEAD_MATRIX = _lead_matrix()
"""``(12, 9)``: leads in the order of ``LEADS`` from potentials in the order of ``ELECTRODES``."""

_NOISE_GAIN = np.float32(np.sqrt(np.square(LEAD_MATRIX).sum(axis=1).mean()))


def lead_potentials(electrodes: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(..., 9)`` potentials at ``ELECTRODES`` to ``(..., 12)`` leads in the same unit."""
    return electrodes @ LEAD_MATRIX.T


def lead_noise(electrodes: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(..., 9)`` independent noise of the electrodes to ``(..., 12)``, scaled to keep the root mean square.

    Leads differ by at most a seventh from it: a chest lead has 0.93 times as much, lead I 1.14 times as much.
    """
    return electrodes @ (LEAD_MATRIX.T / _NOISE_GAIN)
