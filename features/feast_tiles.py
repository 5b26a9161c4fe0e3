"""The tiles of a key beside its row: its packed state, and the moment until which the row's windows hold.

They are one more feature view of the entity, kept online only: `<entity>_packed`, bytes, and
`<entity>_valid_until_ms`, an integer. Rows with them have no fixed width, so their text is put together here
by one compiled pass over all rows of a batch.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features import feast_format as fmt
from features.compiled import compiled_part
from features.definition import Entity

Bytes = NDArray[np.uint8]

BYTES_TAG = 0x0A  # field 1 of feast.types.Value, length delimited
INT64_TAG = 0x20
INT64_BYTES = 10  # the tag and nine 7-bit groups: all that is not negative
FOREVER_MS = np.iinfo(np.int64).max
_AROUND_BYTES = 40  # of a row: "$", digits, line ends, tag and length of the packed state


class TilesView(NamedTuple):
    """The view's name and the names of its two fields."""

    name: str
    packed: str
    valid_until_ms: str

    @classmethod
    def of(cls, entity: Entity) -> "TilesView":
        """Return the tiles view of an entity.

        >>> from features.project.running import project_at
        >>> TilesView.of(project_at("examples/logins").entities[0]).packed
        'account_packed'
        """
        return cls(f"{entity.name}_tiles", f"{entity.name}_packed", f"{entity.name}_valid_until_ms")

    @property
    def fields(self) -> fmt.ViewFields:
        """The view as the format's functions take it."""
        return (self.name, (self.packed, self.valid_until_ms))


class Tiles(NamedTuple):
    """Tiles of n keys: their packed states (n,) of `bytes`, b"" for nothing, and moments (n,) in ms."""

    packed: NDArray[np.object_]
    valid_until_ms: NDArray[np.int64]

    def pick(self, which: "NDArray[np.int64] | slice") -> "Tiles":
        """Return the tiles that an index array or a slice names."""
        return Tiles(self.packed[which], self.valid_until_ms[which])


def int64_cells(numbers: NDArray[np.int64]) -> Bytes:
    """Return each number, not negative, as a serialized Value of fixed width, shape (n, 10).

    >>> int64_cells(np.array([1]))[0].tobytes().hex(" ")
    '20 81 80 80 80 80 80 80 80 00'
    """
    out = np.empty((len(numbers), INT64_BYTES), np.uint8)
    out[:, 0] = INT64_TAG
    for at in range(INT64_BYTES - 1):
        more = 0x80 if at < INT64_BYTES - 2 else 0
        out[:, at + 1] = ((numbers >> (7 * at)) & 0x7F) | more
    return out


def arguments(fixed: Bytes, packed: NDArray[np.object_]) -> tuple[bytes, NDArray[np.int64]]:
    """Return one bulk string a row, its fixed part followed by its packed state, and where each ends.

    Args:
        fixed: (n, w) bytes that every row begins with.
        packed: (n,) `bytes`.

    >>> text, ends = arguments(np.full((2, 1), 65, np.uint8), np.array([b"xy", b""], object))
    >>> text, ends.tolist()
    (b'$5\\r\\nA\\n\\x02xy\\r\\n$3\\r\\nA\\n\\x00\\r\\n', [11, 20])
    """
    states = packed.tolist()
    sizes = np.fromiter(map(len, states), np.int64, len(states))
    flat = np.frombuffer(b"".join(states), np.uint8)
    out = np.empty(fixed.size + len(flat) + _AROUND_BYTES * len(states), np.uint8)
    ends = np.empty(len(states), np.int64)
    used = _assemble(np.ascontiguousarray(fixed), flat, sizes, out, ends)
    return out[:used].tobytes(), ends


@compiled_part(nogil=True)
def _assemble(
    fixed: Bytes, flat: Bytes, sizes: NDArray[np.int64], out: Bytes, ends: NDArray[np.int64]
) -> int:
    at, begin = 0, 0
    width = fixed.shape[1]
    for row in range(len(sizes)):
        size = sizes[row]
        length = 1
        while size >> (7 * length):
            length += 1
        out[at] = 36
        at = _digits(out, at + 1, width + 1 + length + size)
        out[at : at + width] = fixed[row]
        at += width
        out[at] = BYTES_TAG
        for group in range(length):
            more = 0x80 if group < length - 1 else 0
            out[at + 1 + group] = ((size >> (7 * group)) & 0x7F) | more
        at += 1 + length
        out[at : at + size] = flat[begin : begin + size]
        begin += size
        at += size
        out[at], out[at + 1] = 13, 10
        at += 2
        ends[row] = at
    return at


@compiled_part(nogil=True)
def _digits(out: Bytes, at: int, number: int) -> int:
    """Write a number and a line's end, and return where the next line begins."""
    count, rest = 1, number // 10
    while rest:
        count += 1
        rest //= 10
    for place in range(count - 1, -1, -1):
        out[at + place] = 48 + number % 10
        number //= 10
    out[at + count], out[at + count + 1] = 13, 10
    return at + count + 2
