"""Whether a measure fits: sums in 63 bits, squares in 127, and what is served in the 53 bits of a float64."""

from contracts.contract_version import ContractField
from features.declare import Aggregate
from features.project.functions import NOT_SIGNED, SUMS
from features.project.problems import Problems

SUM_MAX, SQUARES_MAX, SERVED_MAX = 2**63 - 1, 2**127 - 1, 2**53


def rows_allowed(function: str, magnitude: int) -> int:
    """Return how many rows of a key a measure of that magnitude leaves room for.

    >>> rows_allowed("mean", 2**40), rows_allowed("sum", 2**40), rows_allowed("std", 2**60)
    (8388607, 8192, 7)
    """
    if magnitude == 0 or function not in SUMS:
        return SUM_MAX
    rows = SUM_MAX // magnitude
    if function == "std":
        rows = min(rows, SQUARES_MAX // magnitude**2)
    return min(rows, SERVED_MAX // magnitude) if function == "sum" else rows


def check_measure(asked: Aggregate, field: ContractField, rows_max: int, problems: Problems) -> None:
    """Note what does not fit: E_DECLARE_RANGE, E_DECLARE_SIGNED or E_DECLARE_OVERFLOW."""
    of = f"{asked.function} of {field.name!r}"
    magnitude = field.magnitude
    if magnitude is None:
        problems.note(
            asked.written,
            "E_DECLARE_RANGE",
            f"{of}: its contract gives it no range",
            f"give {field.name!r} a minimum and a maximum in its contract",
        )
        return
    if field.signed and asked.function in NOT_SIGNED:
        problems.note(
            asked.written,
            "E_DECLARE_SIGNED",
            f"{of}, which may be negative ({field.low})",
            "use sum_of, mean_of, min_of, max_of or std_of, or a contract whose minimum is 0",
        )
    rows = rows_allowed(asked.function, magnitude)
    if magnitude > SERVED_MAX:
        problems.note(
            asked.written,
            "E_DECLARE_OVERFLOW",
            f"{of}: values up to {magnitude} do not fit the 53 bits of a served value",
            f"narrow the range of {field.name!r} in its contract to {SERVED_MAX}",
        )
    elif rows < rows_max:
        problems.note(
            asked.written,
            "E_DECLARE_OVERFLOW",
            f"{of}: values up to {magnitude} leave room for {rows} rows of a key, and {rows_max} are to fit",
            f"narrow the range of {field.name!r} in its contract, or give the view rows_max={rows} or less",
        )
