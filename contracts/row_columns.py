"""The columns that a reader of inter-stage rows relies on, by kind; a row without one is not ours."""

_ORIGIN = frozenset(["pos", "raw_partition", "raw_offset", "appended_ms"])
_WHO = frozenset(["transaction_id", "customer_id", "terminal_id", "event_time"])
_PAYMENT = _ORIGIN | _WHO | {"amount_minor", "currency", "channel", "country", "traceparent"}

EVENT_COLUMNS = _PAYMENT | {"content_hash"}
PAYMENT_COLUMNS = _PAYMENT | {"customer_partition", "customer_pos", "customer_values", "late"}
LABEL_COLUMNS = _ORIGIN | _WHO | {"label", "label_time", "source"}
