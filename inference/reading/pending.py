"""The feature groups of payments that are not in the log: each counted as if it came next, none written."""

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns, length
from features.catalog import CUSTOMER, CUSTOMER_PROFILE, TERMINAL
from inference.reading.moment_reader import MomentReader
from inference.reading.served import NO_AGE, Served, Status, judged_profiles

NOT_LOGGED = -1  # partition and offset of a payment that is in no log


class PendingServer:
    """Serves pending payments to the scorer's core; see `inference.reading.served.ServesFeatures`.

    Customer and terminal groups are exact: what the stream would compute if the payment came next. Where the
    store is away or a key's row cannot be trusted they are null, and the decision is flagged.
    """

    def __init__(self, reader: MomentReader) -> None:
        self._reader = reader

    def serve(self, rows: Columns, now_ms: float) -> Served:
        """Return the groups of n payments as of each; `rows` from `pending_rows`."""
        stored = self._reader.read(rows["customer_id"], rows["terminal_id"], now_ms)
        if stored is None:
            return _without_store(length(rows))
        customer, no_customer = self._reader.with_pending(CUSTOMER, stored.customer, rows)
        terminal, no_terminal = self._reader.with_pending(TERMINAL, stored.terminal, rows)
        return Served(
            customer, terminal, stored.profile.values, _status(no_customer), _status(no_terminal),
            *judged_profiles(stored.profile.time_ms, rows["event_time"], known_only=False),
            no_customer | no_terminal, True, {},
        )  # fmt: skip


def pending_rows(rows: Columns) -> Columns:
    """Return the gate's columns of n payments as the scorer's core takes them, of no place in any log."""
    nowhere = np.full(length(rows), NOT_LOGGED, np.int64)
    places = ("raw_partition", "raw_offset", "customer_pos", "terminal_partition", "terminal_pos")
    return {**rows, **dict.fromkeys(places, nowhere)}


def _status(uncertain: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.where(uncertain, Status.DEFAULT, Status.EXACT).astype(np.uint8)


def _without_store(count: int) -> Served:
    def nothing(columns: tuple[str, ...]) -> NDArray[np.float64]:
        return np.full((count, len(columns)), np.nan)

    default = np.full(count, Status.DEFAULT, np.uint8)
    return Served(
        nothing(CUSTOMER.columns), nothing(TERMINAL.columns), nothing(CUSTOMER_PROFILE.columns),
        default, default, default, np.full(count, NO_AGE), np.zeros(count, np.bool_), False, {},
    )  # fmt: skip
