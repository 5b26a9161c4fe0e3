"""The fields by which a raw record of a source is found in the lake, read as its contract says.

Columns hold what the gate's hold: times in epoch ms, decimals as whole numbers of their last digit, truth
values as 0 and 1, whatever the limits of the contract. A record that cannot be read, or in which a field is
of another type, has no fields; one value that is no time and no decimal of its scale is null.
"""

from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import UNSET

from contracts.contract_field import TIMES_MAX
from contracts.contract_version import INT64_MAX, ContractField
from contracts.document import Refused
from contracts.field_columns import converter_of
from contracts.keys import NULL
from contracts.pipeline import SourceStream
from contracts.record_form import Leaf, RecordForm
from contracts.written_values import decimal_of, time_of

_ARROW = {"text": pa.string(), "int64": pa.int64(), "float64": pa.float64()}
_TEXT_MAX = 1 << 31


class SourceFields:
    """What makes columns of a source's raw records; personal fields have none.

    >>> from features.project.running import project_at
    >>> fields = SourceFields(project_at("examples/logins").pipeline.by_topic["resets"])
    >>> fields.columns([b'{"reset_id": "r1"}', b"{"])["reset_id"].to_pylist()
    ['r1', None]
    """

    def __init__(self, source: SourceStream) -> None:
        fields = tuple(_loosened(field) for field in source.fields if not field.personal)
        version = msgspec.structs.replace(source.versions[-1], fields=fields, key_field="")
        self._form = RecordForm(version)
        self._leaves = {leaf.field.name: leaf for leaf in self._form.leaves}
        self._empty = self._form.decode(b"{}")
        self.names = [field.name for field in fields]

    def columns(self, values: list[bytes | None]) -> dict[str, pa.Array]:
        """Return the columns (n,) of n records by name."""
        events = [self._read(value) for value in values]
        return {name: _column(self._leaves[name], events) for name in self.names}

    def _read(self, value: bytes | None) -> Any:
        if value is None:
            return self._empty
        try:
            return self._form.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._empty


def _loosened(field: ContractField) -> ContractField:
    """Return a field that may be absent, and of any size: what the gate refuses is found as well."""
    low, high = {"string": (0, _TEXT_MAX), "time": (-TIMES_MAX, TIMES_MAX), "number": (None, None)}.get(
        field.type, (-INT64_MAX, INT64_MAX)
    )
    return msgspec.structs.replace(
        field, required=False, low=low, high=high, enum=(), accepted="", letters=False, not_before=""
    )


def _column(leaf: Leaf, events: list[Any]) -> pa.Array:
    values = [None if value is UNSET else value for value in map(leaf.get, events)]
    if leaf.field.type == "string":
        return pa.array(values, pa.string())
    column, strange = converter_of(leaf.field)(values)
    found = np.asarray(column)
    for row in strange:
        found[row] = _written(leaf.field, values[row])
    is_float = leaf.field.column == "float64"
    return pa.array(found, _ARROW[leaf.field.column], mask=np.isnan(found) if is_float else found == NULL)


def _written(field: ContractField, value: Any) -> int:
    """Return a decimal or time in one of the less usual spellings; null for what is none."""
    text = value if isinstance(value, str) else bytes(value).decode("utf-8", "replace")
    try:
        number = time_of(text, field.zone) if field.type == "time" else decimal_of(text, field.scale)
    except Refused:
        return NULL
    return number if -INT64_MAX <= number <= INT64_MAX else NULL
