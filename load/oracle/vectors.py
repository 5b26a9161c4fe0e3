"""The model's vector, column by column from the declared formulas; None is null.

The formulas come as texts and are read and evaluated by the oracle's own reader of expressions.
"""

from collections.abc import Mapping
from typing import Any

from load.oracle.dump import Declared
from load.oracle.expressions import Reading

Value = float | None


class Vectors:
    """Makes vectors of events whose stored features are known.

    Args:
        declared: has the columns in order, the formulas over the event's fields and over the other columns.
    """

    def __init__(self, declared: Declared) -> None:
        self._columns = declared.columns
        floats = dict.fromkeys(declared.columns, "float")
        self._of_event = {
            name: Reading(text, declared.event_kinds) for name, text in declared.event_formulas.items()
        }
        self._of_features = {name: Reading(text, floats) for name, text in declared.formulas.items()}

    def of(self, event: Mapping[str, Any], known: Mapping[str, Value]) -> list[Value]:
        """Return the vector, in the order of the columns."""
        named: dict[str, Value] = {
            name: None if value is None or value != value else value for name, value in known.items()
        }
        named |= {name: _number(reading.of(event).value) for name, reading in self._of_event.items()}
        named |= {name: _number(reading.of(named).value) for name, reading in self._of_features.items()}
        return [named[name] for name in self._columns]


def _number(value: Any) -> Value:
    return None if value is None else float(value)
