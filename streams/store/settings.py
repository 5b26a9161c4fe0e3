"""What an operator may set on writes to the online store."""

import msgspec


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How long the writer of the online store waits, and for what.

    A Redis that has not answered a write within `breaker_ms` is taken as down: outputs go on without it and
    its rows wait. Only after `reply_timeout_ms` is the connection given up, so that a busy moment of the
    machine does not cost a new one. With `tiles` a row carries its key's packed state, from which a reader
    after the event has the values as of any later moment.
    """

    connect_timeout_ms: float = 50.0
    breaker_ms: float = 50.0
    reply_timeout_ms: float = 500.0
    probe_interval_ms: float = 250.0
    sentinel_interval_ms: float = 1000.0
    rows_a_write: int = 1000
    tiles: bool = True
