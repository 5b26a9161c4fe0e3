"""Which feature values an event is judged by, and where each group of them came from.

Customer and terminal values ride with the event, exact as of it, so the store is asked to confirm them:
a stored row of the event's own position is used (`store`) after its bits were compared; a row of another
position means that the store has moved on or lags, and the event's own values are used (`exact`). The
profile lives only in the store: it may be missing (`default`) or too old (`stale`).
"""

from enum import IntEnum
from typing import NamedTuple, Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from contracts.frame import Columns, length
from features.catalog import CUSTOMER, CUSTOMER_PROFILE, TERMINAL
from features.feast_row import RowsRead
from inference.reading.breaker import Breaker
from inference.reading.online_reader import FeatureReader, StoreUnavailable
from inference.reading.profile_cache import ProfileCache

Floats = NDArray[np.float64]
Codes = NDArray[np.uint8]

log = structlog.get_logger(__name__)


class Status(IntEnum):
    """Where a group's values came from."""

    EXACT = 0
    STORE = 1
    DEFAULT = 2
    STALE = 3


STATUS_NAMES = tuple(status.name.lower() for status in Status)


class StoreCounts(NamedTuple):
    """What one batch's read was worth, by event."""

    confirmed: int = 0
    moved_on: int = 0
    missing: int = 0
    mismatched: int = 0
    unread: int = 0


class Served(NamedTuple):
    """Values of n events and their origin; `profile_age_ms` is -1 << 63 where there is no profile."""

    customer: Floats
    terminal: Floats
    profile: Floats
    customer_status: Codes
    terminal_status: Codes
    profile_status: Codes
    profile_age_ms: NDArray[np.int64]
    unreadable: NDArray[np.bool_]
    available: bool
    counts: dict[str, StoreCounts]


class ServesFeatures(Protocol):
    """What gives a batch its feature groups: the store and the events, or the store and pending payments."""

    def serve(self, rows: Columns, now_ms: float) -> Served:
        """Return the groups of n events; `now_ms` is a time that never goes back."""


NO_AGE = np.iinfo(np.int64).min
_CUSTOMER_COLUMNS = len(CUSTOMER.columns)
_CUSTOMER_VIEWS = len(CUSTOMER.views)


class FeatureServer:
    """Serves the feature groups of a batch of FEATURE rows; keeps going when the store does not.

    Args:
        epoch: the run's; a stored row of another one was written for another log.
    """

    def __init__(
        self, reader: FeatureReader, breaker: Breaker, epoch: int, cache_rows: int = 100_000
    ) -> None:
        self._reader, self._breaker, self._epoch = reader, breaker, epoch
        self._last_known = ProfileCache(cache_rows)

    def serve(self, rows: Columns, now_ms: float) -> Served:
        """Return the groups of n events; `rows` as of Kind.FEATURE, never changed."""
        customers, customer_of = np.unique(rows["customer_id"], return_inverse=True)
        terminals, terminal_of = np.unique(rows["terminal_id"], return_inverse=True)
        read = read_store(self._reader, self._breaker, customers, terminals, now_ms)
        if read is None:
            return self._alone(rows, customers, customer_of)
        stored_customer, stored_terminal = read
        customer_status, of_customers = self._confirm(
            "customer", rows, stored_customer, customer_of, _CUSTOMER_VIEWS
        )
        terminal_status, of_terminals = self._confirm(
            "terminal", rows, stored_terminal, terminal_of, len(TERMINAL.views)
        )
        profile, time_ms = self._profiles(customers, stored_customer)
        return Served(
            rows["customer_values"], rows["terminal_values"], profile[customer_of],
            customer_status, terminal_status,
            *judged_profiles(time_ms[customer_of], rows["event_time"], known_only=False),
            stored_customer.failed[customer_of] | stored_terminal.failed[terminal_of], True,
            {"customer": of_customers, "terminal": of_terminals},
        )  # fmt: skip

    def _alone(self, rows: Columns, customers: NDArray[np.bytes_], customer_of: NDArray[np.intp]) -> Served:
        """Serve without the store: the event's own values, and the last known profiles."""
        count = length(rows)
        profile, time_ms = self._last_known.get(customers)
        exact = np.full(count, Status.EXACT, np.uint8)
        return Served(
            rows["customer_values"], rows["terminal_values"], profile[customer_of], exact, exact,
            *judged_profiles(time_ms[customer_of], rows["event_time"], known_only=True),
            np.zeros(count, bool), False,
            {name: StoreCounts(unread=count) for name in ("customer", "terminal")},
        )  # fmt: skip

    def _confirm(
        self, name: str, rows: Columns, stored: RowsRead, of: NDArray[np.intp], views: int
    ) -> tuple[Codes, StoreCounts]:
        """Compare stored rows of the event's own position with the event's own values, bit for bit."""
        own = rows[f"{name}_values"]
        same_epoch = (stored.epochs[of, :views] == self._epoch).all(axis=1)
        there = same_epoch & (stored.stamps[of, :views] == rows[f"{name}_pos"][:, None]).all(axis=1)
        at = np.flatnonzero(there)
        equal = _same_bits(stored.values[of[at], : own.shape[1]], own[at])
        differing = at[~equal]
        if len(differing):
            first = int(differing[0])
            log.error(
                "store_differs_from_log", group=name, rows=len(differing),
                position=int(rows[f"{name}_pos"][first]), next_step="run `headrace rebuild-store`",
            )  # fmt: skip
        missing = int((~stored.present[of, :views].all(axis=1)).sum())
        counts = StoreCounts(
            confirmed=int(equal.sum()), moved_on=len(of) - len(at) - missing, missing=missing,
            mismatched=len(differing),
        )  # fmt: skip
        status = np.full(len(of), Status.EXACT, np.uint8)
        status[at[equal]] = Status.STORE
        return status, counts

    def _profiles(self, customers: NDArray[np.bytes_], stored: RowsRead) -> tuple[Floats, NDArray[np.int64]]:
        """Return each customer's profile and its time, -1 without one; remember those that are there."""
        profile = stored.values[:, _CUSTOMER_COLUMNS:]
        time_ms = np.where(stored.failed, -1, stored.event_time_ms[:, _CUSTOMER_VIEWS])
        profile = np.where(stored.failed[:, None], np.nan, profile)
        self._last_known.put(customers, profile, time_ms)
        return profile, time_ms


def read_store(
    reader: FeatureReader,
    breaker: Breaker,
    customers: NDArray[np.bytes_],
    terminals: NDArray[np.bytes_],
    now_ms: float,
) -> tuple[RowsRead, RowsRead] | None:
    """Return the stored rows of keys, None while the store is away; said when that changes."""
    was_open = breaker.open
    if not breaker.allows(now_ms):
        return None
    try:
        read = reader.read(customers, terminals)
    except StoreUnavailable as error:
        breaker.failed(now_ms)
        if not was_open:
            log.warning("store_unavailable", code=error.code, why=error.what)
        return None
    breaker.succeeded()
    if was_open:
        log.info("store_back")
    return read


def judged_profiles(
    time_ms: NDArray[np.int64], event_ms: NDArray[np.int64], known_only: bool
) -> tuple[Codes, NDArray[np.int64]]:
    """Return each profile's status and its age against the event."""
    there = time_ms >= 0
    age_ms = np.where(there, event_ms - time_ms, NO_AGE)
    stale = there & ((age_ms > CUSTOMER_PROFILE.max_age_ms) | known_only)
    status = np.where(stale, Status.STALE, np.where(there, Status.STORE, Status.DEFAULT))
    return status.astype(np.uint8), age_ms


def _same_bits(left: Floats, right: Floats) -> NDArray[np.bool_]:
    """Tell row by row whether both hold the same bits; any NaN equals any other."""
    same = np.ascontiguousarray(left).view(np.uint64) == np.ascontiguousarray(right).view(np.uint64)
    return np.asarray((same | (np.isnan(left) & np.isnan(right))).all(axis=1))
