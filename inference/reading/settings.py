"""What an operator may set on reads of the online store."""

import msgspec


class ReaderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How long a read of the online store may take, how many keys go in one pipeline, when it is tried again.

    A Redis that does not answer within `reply_timeout_ms`, and `reply_timeout_key_ms` more for each key of
    the batch, is taken as down: scoring goes on without it, and one read each `probe_interval_ms` finds out
    whether it is back. A large batch is a backlog, which can wait; a small one is a caller who cannot.
    """

    connect_timeout_ms: float = 50.0
    reply_timeout_ms: float = 50.0
    reply_timeout_key_ms: float = 0.1
    keys_a_read: int = 500
    probe_interval_ms: float = 250.0
    profiles_remembered: int = 100_000
