"""The columns of a FEATURE row that scoring reads, checked against the definitions of this process."""

from contracts.errors import StateError
from contracts.frame import Columns
from features.catalog import CUSTOMER, TERMINAL

COLUMNS = (
    "raw_partition", "raw_offset", "appended_ms", "transaction_id", "customer_id", "terminal_id",
    "event_time", "amount_minor", "traceparent", "customer_pos", "customer_values", "terminal_partition",
    "terminal_pos", "terminal_values",
)  # fmt: skip
_WIDTHS = {"customer_values": len(CUSTOMER.columns), "terminal_values": len(TERMINAL.columns)}


def for_scoring(rows: Columns) -> Columns:
    """Return the rows with just these columns.

    Raises:
        StateError: E_SCORER_COLUMNS, rows of other definitions or of another version of the stage.
    """
    missing = [name for name in COLUMNS if name not in rows]
    wrong = [name for name, width in _WIDTHS.items() if not missing and rows[name].shape[1:] != (width,)]
    if missing or wrong:
        raise StateError(
            "E_SCORER_COLUMNS", f"missing {missing}, other width {wrong}", "features.log",
            "run stages and scorer of one version; changed definitions need a new run",
        )  # fmt: skip
    return {name: rows[name] for name in COLUMNS}
