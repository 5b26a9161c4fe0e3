"""Write and read rows of the online store as plain bytes of Redis's protocol. Nothing here does I/O.

The writer sends a batch of rows to a small script that Redis runs: a row is written only when the store
holds none, or one as of the same or an earlier position of the log. So a process that lost its partition
and writes late changes nothing, and a batch may be sent again at will.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ContractError
from features import feast_format as fmt
from features import feast_reply as reply
from features.feast_key import KeyFormat, text_key
from features.feast_tiles import FOREVER_MS, INT64_BYTES, Tiles, TilesView, arguments, int64_cells

ROWS_PER_CALL = 100  # a script blocks Redis while it runs: 100 rows are about 1 ms
_NO_MOMENTS = np.empty(0, np.int64)
_COUNT_CHARS = 20  # of a reply that counts the rows of a call
_FIELDS_PER_HSET = 100  # Lua keeps the arguments of one call in at most 250 registers


class RowsRead(NamedTuple):
    """What the store held for n keys, in their order; k features and v views in the codec's order."""

    values: NDArray[np.float64]  # (n, k), NaN where absent or null
    event_time_ms: NDArray[np.int64]  # (n, v), -1 where absent
    epochs: NDArray[np.int64]  # (n, v), the topic's epoch in the stamp, -1 where there is none
    stamps: NDArray[np.int64]  # (n, v), the position in the stamp, -1 where there is none
    present: NDArray[np.bool_]  # (n, v)
    failed: NDArray[np.bool_]  # (n,), an error reply, or bytes that are no row of Feast's
    error: str  # the first error reply, or ""
    packed: tuple[bytes, ...] = ()  # n packed states where they were asked for, b"" where there is none
    valid_until_ms: NDArray[np.int64] = (
        _NO_MOMENTS  # (n,) where tiles were asked for, -1 where there are none
    )


class _Keys:
    """The RESP text of entity keys; what is equal in all text keys of one length is made once."""

    def __init__(self, project: str, key: str | KeyFormat) -> None:
        self._tail = project.encode() + b"\r\n"
        self._project_bytes = len(project.encode())
        self._format = text_key(key) if isinstance(key, str) else key
        self._heads: dict[int, bytes] = {}

    def texts(self, keys: NDArray[np.bytes_]) -> list[bytes]:
        """Return `$<length>\\r\\n<entity key>\\r\\n` for each key."""
        if not self._format.is_text:
            whole = [self._format.serialized(key) for key in keys.tolist()]
            return [b"$%d\r\n%b%b" % (len(key) + self._project_bytes, key, self._tail) for key in whole]
        heads, tail = self._heads, self._tail
        return [(heads.get(len(key)) or self._learn(len(key))) + key + tail for key in keys.tolist()]

    def _learn(self, width: int) -> bytes:
        whole = self._format.serialized(b"\0" * width)
        head = b"$%d\r\n" % (len(whole) + self._project_bytes) + whole[: len(whole) - width]
        self._heads[width] = head
        return head


class RowWriterCodec:
    """Encode rows of the streamed views of one entity; all views of a row are as of one event.

    Args:
        key: how rows are keyed; the field's name where that is one text.
        tiles: the entity's view of tiles, if rows carry them.
        drops: a view of tiles that rows carry no more; older ones are taken away, since they would lie.

    >>> codec = RowWriterCodec("hr", "account_id", [("orders", ["count", "sum"])])
    >>> keys, values = np.array([b"c1", b"c22"]), np.array([[1.0, 250.0], [2.0, np.nan]])
    >>> data = codec.encode(keys, values, np.array([1000, 2000]), np.array([7, 8]), epoch=1)
    >>> data[:22], codec.calls(2), codec.calls(101)
    (b'*7\\r\\n$7\\r\\nEVALSHA\\r\\n$40\\r\\n', 1, 2)
    >>> codec.written(b":2\\r\\n", calls=1)
    2
    """

    def __init__(
        self,
        project: str,
        key: str | KeyFormat,
        views: Sequence[fmt.ViewFields],
        tiles: TilesView | None = None,
        drops: TilesView | None = None,
    ) -> None:
        fmt.refuse_collisions([*views, *(view.fields for view in (tiles, drops) if view)])
        self._keys = _Keys(project, key)
        self._features = sum(len(features) for _, features in views)
        self._tiles = tiles
        self.script = _script(views, tiles, drops)
        self.sha = hashlib.sha1(self.script.encode(), usedforsecurity=False).hexdigest()
        row_bytes = fmt.STAMP_BYTES + fmt.TIMESTAMP_BYTES + fmt.VALUE_BYTES * self._features
        self._length = b"$%d\r\n" % row_bytes
        self._row_bytes = len(self._length) + row_bytes + 2

    def load(self) -> bytes:
        """Return the command that makes the script known; wanted once a server, and again on NOSCRIPT."""
        script = self.script.encode()
        return b"*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$%d\r\n%s\r\n" % (len(script), script)

    def calls(self, rows: int) -> int:
        """Return how many replies `rows` rows are answered with."""
        return -(-rows // ROWS_PER_CALL)

    def encode(
        self,
        keys: NDArray[np.bytes_],
        values: NDArray[np.float64],
        event_time_ms: NDArray[np.int64],
        stamps: NDArray[np.int64],
        epoch: int,
        tiles: Tiles | None = None,
    ) -> bytes:
        """Return the EVALSHA calls that write n rows; a key may come more than once, the newest stamp wins.

        Args:
            keys: (n,) S<w>.
            values: (n, k), the features of all views in the codec's order; NaN is null.
            event_time_ms: (n,) the event's time.
            stamps: (n,) position of the event in its topic.
            epoch: the topic's epoch; a row of a smaller epoch is always overwritten.
            tiles: of the n keys; needed by a codec made with a view of tiles, and by no other.

        Raises:
            ContractError: E_ROW_TIME or E_ROW_STAMP when a time or position cannot be written.
        """
        assert (tiles is None) == (self._tiles is None), "rows have tiles where the codec has"
        fixed = self._fixed(values, event_time_ms, stamps, epoch)
        if tiles is None:
            data, ends = fixed.tobytes(), np.arange(1, len(fixed) + 1) * fixed.shape[1]
        else:
            head, tail = len(self._length), -2  # each row has a length of its own
            whole = np.concatenate([fixed[:, head:tail], int64_cells(tiles.valid_until_ms)], axis=1)
            data, ends = arguments(whole, tiles.packed)
        return self._calls(self._keys.texts(keys), data, ends)

    def _calls(self, texts: list[bytes], data: bytes, ends: NDArray[np.int64]) -> bytes:
        parts: list[bytes] = []
        at = 0
        for begin in range(0, len(texts), ROWS_PER_CALL):
            chunk = texts[begin : begin + ROWS_PER_CALL]
            end = int(ends[begin + len(chunk) - 1])
            parts.append(self._head(len(chunk)))
            parts.extend(chunk)
            parts.append(data[at:end])
            at = end
        return b"".join(parts)

    def written(self, buffer: bytes, calls: int) -> int | None:
        """Return how many rows were written, None while the replies are not all there.

        Raises:
            ContractError: E_STORE_REPLY with Redis's words; NOSCRIPT asks for `load`.
        """
        lines = buffer.split(b"\r\n")
        if len(lines) <= calls:
            return None
        for line in lines[:calls]:
            if line[:1] != b":" or not line[1:].isdigit() or len(line) > _COUNT_CHARS:
                raise ContractError("E_STORE_REPLY", line.decode(errors="replace"), "online store write")
        return sum(int(line[1:]) for line in lines[:calls])

    def _head(self, rows: int) -> bytes:
        count = b"%d" % rows
        head = b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n%s\r\n" % (3 + 2 * rows, self.sha.encode())
        return head + b"$%d\r\n%s\r\n" % (len(count), count)

    def _fixed(
        self,
        values: NDArray[np.float64],
        event_time_ms: NDArray[np.int64],
        stamps: NDArray[np.int64],
        epoch: int,
    ) -> NDArray[np.uint8]:
        """Return one argument a row, all of one width: stamp, timestamp, values."""
        rows, at = len(values), len(self._length)
        out = np.empty((rows, self._row_bytes), np.uint8)
        out[:, :at] = np.frombuffer(self._length, np.uint8)
        out[:, at : at + fmt.STAMP_BYTES] = fmt.stamps(stamps, epoch)
        at += fmt.STAMP_BYTES
        out[:, at : at + fmt.TIMESTAMP_BYTES] = fmt.timestamps(event_time_ms)
        at += fmt.TIMESTAMP_BYTES
        cells = out[:, at:-2].reshape(rows, self._features, fmt.VALUE_BYTES)
        cells[:, :, 0] = fmt.DOUBLE_TAG
        doubles = np.ascontiguousarray(values, np.float64).view(np.uint8)
        cells[:, :, 1:] = doubles.reshape(rows, self._features, 8)
        out[:, -2:] = np.frombuffer(b"\r\n", np.uint8)
        return out


class RowReaderCodec:
    """Encode the reading of rows of one entity, and decode the replies; batch views are read too.

    With `tiles` the packed states are read as well; their view's timestamp and stamp stand behind those of
    the other views.

    >>> codec = RowReaderCodec("hr", "account_id", [("orders", ["count"])])
    >>> codec.encode(np.array([b"c1"]))[:16]
    b'*5\\r\\n$5\\r\\nHMGET\\r\\n$'
    >>> rows = codec.decode(b"*3\\r\\n$-1\\r\\n$-1\\r\\n$-1\\r\\n", rows=1)
    >>> rows.present, rows.values
    (array([[False]]), array([[nan]]))
    >>> codec.decode(b"*3\\r\\n$-1", rows=1) is None
    True
    """

    def __init__(
        self,
        project: str,
        key: str | KeyFormat,
        views: Sequence[fmt.ViewFields],
        tiles: TilesView | None = None,
    ) -> None:
        fmt.refuse_collisions([*views, *([tiles.fields] if tiles else [])])
        self._keys = _Keys(project, key)
        names = [fmt.field_name(view, feature) for view, features in views for feature in features]
        of_rows = [view for view, _ in views] + ([tiles.name] if tiles else [])
        self._features, self._views, self._blobs = len(names), len(of_rows), 1 if tiles else 0
        names += [fmt.field_name(tiles.name, tiles.valid_until_ms)] if tiles else []
        names += [fmt.timestamp_field(view) for view in of_rows]
        names += [fmt.stamp_field(view) for view in of_rows]
        names += [fmt.field_name(tiles.name, tiles.packed)] if tiles else []
        self._head = b"*%d\r\n$5\r\nHMGET\r\n" % (2 + len(names))
        self._tail = b"".join(b"$%d\r\n%s\r\n" % (len(name), name) for name in names)

    def encode(self, keys: NDArray[np.bytes_]) -> bytes:
        """Return one HMGET a key, to be sent as one pipeline."""
        if not len(keys):
            return b""
        return self._head + (self._tail + self._head).join(self._keys.texts(keys)) + self._tail

    def decode(self, buffer: bytes | bytearray, rows: int) -> RowsRead | None:
        """Return the rows, in the order of the keys; None while the replies are not all there.

        Raises:
            ContractError: E_STORE_REPLY when the bytes are no answer to this codec's commands.
        """
        if len(buffer) < 5 * rows:  # the shortest reply is an error of a line
            return None
        scanned = reply.empty(rows, self._features + self._blobs, self._views, self._blobs)
        end = reply.scan(np.frombuffer(buffer, np.uint8), scanned)
        if end == reply.MORE_BYTES:
            return None
        if end != len(buffer):
            raise ContractError("E_STORE_REPLY", f"{len(buffer)} bytes do not answer {rows} HMGETs", "read")
        failed = scanned.status != reply.OK
        return RowsRead(
            scanned.values[:, : self._features],
            scanned.time_ms,
            scanned.epoch,
            scanned.position,
            scanned.time_ms >= 0,
            failed,
            _first_error(buffer, scanned, failed),
            _blobs(buffer, scanned) if self._blobs else (),
            _moments(scanned.values[:, self._features]) if self._blobs else _NO_MOMENTS,
        )


def _moments(read: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return moments that were scanned as numbers: exact below 2**53, and what is beyond is for ever."""
    known = np.where(np.isnan(read), -1.0, read)
    return np.where(known < 2.0**53, known, 0.0).astype(np.int64) + np.where(known < 2.0**53, 0, FOREVER_MS)


def _blobs(buffer: bytes | bytearray, scanned: reply.Scanned) -> tuple[bytes, ...]:
    view = memoryview(buffer)
    return tuple(bytes(view[begin:end]) for begin, end in scanned.blobs[:, 0].tolist())


def _first_error(buffer: bytes | bytearray, scanned: reply.Scanned, failed: NDArray[np.bool_]) -> str:
    if not failed.any():
        return ""
    row = int(failed.argmax())
    if scanned.status[row] == reply.UNREADABLE:
        return f"row {row} holds a value that is no number"
    begin = int(scanned.begin[row]) + 1
    return bytes(buffer[begin : buffer.index(b"\r\n", begin)]).decode(errors="replace")


def _script(views: Sequence[fmt.ViewFields], tiles: TilesView | None, drops: TilesView | None) -> str:
    """Return the script for one set of views: names are constants, a row comes as one argument."""
    pairs = []
    at = fmt.STAMP_BYTES + fmt.TIMESTAMP_BYTES
    for view, features in views:
        pairs.append(f"{_quoted(fmt.stamp_field(view))},new")
        pairs.append(f"{_quoted(fmt.timestamp_field(view))},time")
        for feature in features:
            name = _quoted(fmt.field_name(view, feature))
            pairs.append(f"{name},sub(row,{at + 1},{at + fmt.VALUE_BYTES})")
            at += fmt.VALUE_BYTES
    if tiles:
        pairs.append(f"{_quoted(fmt.stamp_field(tiles.name))},new")
        pairs.append(f"{_quoted(fmt.timestamp_field(tiles.name))},time")
        until = _quoted(fmt.field_name(tiles.name, tiles.valid_until_ms))
        pairs.append(f"{until},sub(row,{at + 1},{at + INT64_BYTES})")
        pairs.append(f"{_quoted(fmt.field_name(tiles.name, tiles.packed))},sub(row,{at + INT64_BYTES + 1})")
    hsets = [
        f"    redis.call('HSET',key,{','.join(pairs[begin : begin + _FIELDS_PER_HSET])})"
        for begin in range(0, len(pairs), _FIELDS_PER_HSET)
    ]
    if drops:
        hsets.append(f"    redis.call('HDEL',key,{','.join(_quoted(name) for name in _names(drops))})")
    lines = [
        "local sub,written=string.sub,0",
        "for i,key in ipairs(KEYS) do",
        "  local row=ARGV[i]",
        f"  local new,time=sub(row,1,{fmt.STAMP_BYTES}),",
        f"    sub(row,{fmt.STAMP_BYTES + 1},{fmt.STAMP_BYTES + fmt.TIMESTAMP_BYTES})",
        f"  local old=redis.call('HGET',key,{_quoted(fmt.stamp_field(views[0][0]))})",
        "  if not old or old<=new then",
        *hsets,
        "    written=written+1",
        "  end",
        "end",
        "return written",
    ]
    return "\n".join(lines) + "\n"


def _names(tiles: TilesView) -> list[bytes]:
    """Return all hash fields of a view of tiles."""
    of_features = [fmt.field_name(tiles.name, feature) for feature in tiles.fields[1]]
    return [*of_features, fmt.timestamp_field(tiles.name), fmt.stamp_field(tiles.name)]


def _quoted(name: bytes) -> str:
    """Return a Lua string of the bytes; all but letters, digits, `_` and `:` as decimal escapes."""
    plain = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:"
    return "'" + "".join(chr(byte) if byte in plain else f"\\{byte:03d}" for byte in name) + "'"
