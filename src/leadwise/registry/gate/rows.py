"""The rows on which candidate and champion are compared: fold 10, as it stands in the store."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leadwise.data.store import Store
from leadwise.registry.packaging import stored_facts


@dataclass(frozen=True)
class Rows:
    """Fold 10: what a request may state of each record, and what a cardiologist saw in it.

    Attributes:
        digest: of the data.
        simulated: whether they are simulated.
        ecg_ids: ``(record,)``.
        patients: ``(record,)``.
        labels: ``(record, 5)`` of 0 and 1; all 0 where unlabelled.
        signals: ``(record, time, 12)`` int16 in microvolts.
        facts: of each record, those that are known.
    """

    digest: str
    simulated: bool
    ecg_ids: NDArray[np.int64]
    patients: NDArray[np.int64]
    labels: NDArray[np.float64]
    signals: NDArray[np.int16]
    facts: list[dict[str, Any]]

    @classmethod
    def read(cls, store: Store) -> "Rows":
        """Every record of fold 10, which the evaluate stage has read already."""
        rows = store.rows("test")
        records = store.records.iloc[rows]
        return cls(
            digest=store.manifest["digest"],
            simulated=bool(store.manifest["simulated"]),
            ecg_ids=records["ecg_id"].to_numpy(),
            patients=records["patient_id"].to_numpy(),
            labels=store.labels()[rows].astype(np.float64),
            signals=store.signals[rows],
            facts=list(stored_facts(store, rows)),
        )
