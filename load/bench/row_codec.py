"""The row codec on a raw socket, beside the fastest that redis-py can do with ready-made bytes.

The floor does no compare-and-set: it is a plain HSET a row in one pipeline, the values packed by hand.
"""

import socket
import struct
from typing import Any

import numpy as np
import redis
from numpy.typing import NDArray

from contracts.connections import RedisConnection
from features import feast_format as fmt
from features.catalog import CUSTOMER
from features.feast_row import RowReaderCodec, RowWriterCodec
from load.bench.measure import Figures, Meter

PROJECT = "bench"
VIEWS = [(view.name, view.columns) for view in CUSTOMER.views]
KEYS = 50_000
SEED = 20_180_401
NOW_MS = 1_525_132_800_123
READ_BYTES = 1 << 20


def write_rows(to: RedisConnection, rows: int, batch_rows: int) -> Figures:
    """Encode batches and send them, each acknowledged before the next."""
    codec = RowWriterCodec(PROJECT, CUSTOMER.join_key, VIEWS)
    keys, values = batch(batch_rows)
    times = np.full(batch_rows, NOW_MS)
    with connected(to) as line:
        line.sendall(codec.load())
        line.recv(READ_BYTES)
        meter = Meter()
        for number in range(rows // batch_rows):
            stamps = np.arange(batch_rows) + number * batch_rows
            line.sendall(codec.encode(keys, values, times, stamps, epoch=1))
            buffer = b""
            while codec.written(buffer, codec.calls(batch_rows)) is None:
                buffer += line.recv(READ_BYTES)
        return meter.read(rows // batch_rows * batch_rows)


def encode_rows(rows: int, batch_rows: int) -> Figures:
    """Encode alone: what a row costs the client besides the socket."""
    codec = RowWriterCodec(PROJECT, CUSTOMER.join_key, VIEWS)
    keys, values = batch(batch_rows)
    times, stamps = np.full(batch_rows, NOW_MS), np.arange(batch_rows)
    meter = Meter()
    for _ in range(rows // batch_rows):
        codec.encode(keys, values, times, stamps, epoch=1)
    return meter.read(rows // batch_rows * batch_rows)


def read_rows(to: RedisConnection, rows: int, batch_rows: int) -> Figures:
    """Read batches of rows, each in one pipelined round trip; `parse_us` is the decoding of a row alone."""
    codec = RowReaderCodec(PROJECT, CUSTOMER.join_key, VIEWS)
    keys, _ = batch(batch_rows)
    buffer = bytearray()
    codec.decode(b"", 0)  # compile, or load what is compiled
    with connected(to) as line:
        meter = Meter()
        for _ in range(rows // batch_rows):
            line.sendall(codec.encode(keys))
            buffer = bytearray()
            while codec.decode(buffer, batch_rows) is None:
                buffer += line.recv(READ_BYTES)
        total = meter.read(rows // batch_rows * batch_rows)
    meter = Meter()
    for _ in range(rows // batch_rows):
        codec.decode(buffer, batch_rows)
    parsing = meter.read(total.events)
    return Figures(
        events=total.events, wall_s=total.wall_s, cpu_s=total.cpu_s, peak_rss_mib=total.peak_rss_mib,
        extra={"parse_us": parsing.cpu_s / parsing.events * 1e6},
    )  # fmt: skip


def redis_py_write(to: RedisConnection, rows: int, batch_rows: int) -> Figures:
    """Write the same fields with redis-py's pipeline, without any comparison."""
    names, time, stamp = _fields()
    keys, values = batch(batch_rows)
    texts: list[Any] = [fmt.entity_key(PROJECT, CUSTOMER.join_key, key) for key in keys.tolist()]
    at = fmt.timestamps(np.array([NOW_MS]))[0].tobytes()
    client = redis.Redis(host=to.host, port=to.port, db=to.db)
    meter = Meter()
    for number in range(rows // batch_rows):
        pipe = client.pipeline(transaction=False)
        for text, row in zip(texts, values.tolist(), strict=True):
            cells = {name: b"\x29" + struct.pack("<d", value) for name, value in zip(names, row, strict=True)}
            pipe.hset(text, mapping={**cells, time: at, stamp: b"%010d%020d" % (1, number)})
        pipe.execute()
    return meter.read(rows // batch_rows * batch_rows)


def redis_py_read(to: RedisConnection, rows: int, batch_rows: int) -> Figures:
    """Read the same fields with redis-py's pipeline and unpack the numbers."""
    names, time, stamp = _fields()
    keys, _ = batch(batch_rows)
    texts: list[Any] = [fmt.entity_key(PROJECT, CUSTOMER.join_key, key) for key in keys.tolist()]
    client = redis.Redis(host=to.host, port=to.port, db=to.db)
    meter = Meter()
    for _ in range(rows // batch_rows):
        pipe = client.pipeline(transaction=False)
        for text in texts:
            pipe.hmget(text, [*names, time, stamp])
        for row in pipe.execute():
            for cell in row[: len(names)]:
                struct.unpack_from("<d", cell, 1)
    return meter.read(rows // batch_rows * batch_rows)


def batch(rows: int) -> tuple[NDArray[np.bytes_], NDArray[np.float64]]:
    """Return keys and values of one batch, the same for every caller."""
    rng = np.random.default_rng(SEED)
    keys = np.array([b"c%d" % number for number in rng.integers(0, KEYS, rows)])
    return keys, rng.random((rows, len(CUSTOMER.columns)))


def connected(to: RedisConnection) -> socket.socket:
    """Return a connection to a Redis of this machine, its database chosen."""
    line = socket.create_connection((to.host, to.port), timeout=10)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.sendall(b"SELECT %d\r\n" % to.db)
    line.recv(READ_BYTES)
    return line


def _fields() -> tuple[list[bytes], bytes, bytes]:
    view, columns = VIEWS[0]
    return [fmt.field_name(view, name) for name in columns], fmt.timestamp_field(view), fmt.stamp_field(view)
