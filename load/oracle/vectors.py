"""The model's vector, column by column from the declared formulas; None is null.

The formulas come as texts and are read and evaluated by the oracle's own reader of expressions.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from load.oracle.dump import Declared
from load.oracle.expressions import Reading

Value = float | None


class Vectors:
    """Makes vectors of events whose stored features are known.

    Args:
        declared: has the columns in order, the formulas over the event's fields and over the other columns.
        kinds: of the event's fields.
    """

    def __init__(self, declared: Declared, kinds: Mapping[str, str]) -> None:
        self._columns = declared.columns
        floats = dict.fromkeys(declared.columns, "float")
        self._of_event = {
            name: Reading(text, kinds) for name, text in declared.event_formulas.items()
            if name not in declared.categories
        }  # fmt: skip
        self._categories = declared.categories
        self._of_features = {name: Reading(text, floats) for name, text in declared.formulas.items()}

    def of(self, event: Mapping[str, Any], known: Mapping[str, Value]) -> list[Value]:
        """Return the vector, in the order of the columns."""
        named: dict[str, Value] = {
            name: None if value is None or value != value else value for name, value in known.items()
        }
        named |= {name: _number(reading.of(event).value) for name, reading in self._of_event.items()}
        named |= {name: _code(event[name], values) for name, values in self._categories.items()}
        named |= {name: _number(reading.of(named).value) for name, reading in self._of_features.items()}
        return [named[name] for name in self._columns]


def _code(value: Any, values: Sequence[str]) -> float:
    """Return a category's place in its list, from 1; 0 for what is not there.

    >>> _code("app", ["web", "app"]), _code(None, ["web"])
    (2.0, 0.0)
    """
    return float(values.index(value) + 1) if value in values else 0.0


def _number(value: Any) -> Value:
    return None if value is None else float(value)
