"""Scenarios `store-write` and `store-read`: rows of the online store, ours against floor and stock SDK.

The floor is the same server given the same bytes with nothing around: prebuilt commands, replies counted.
"""

import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import hiredis
import numpy as np
from feast import FeatureStore
from feast.data_source import PushMode
from numpy.typing import NDArray

from contracts.connections import RedisConnection
from features.catalog import CUSTOMER
from features.feast_row import RowReaderCodec, RowWriterCodec
from headrace.servers import Servers
from load.bench.apart import apart
from load.bench.measure import Figures, Meter
from load.bench.outcome import Outcome
from load.peers.plain_store import apply, frame, open_store
from load.peers.plain_windows import FEATURES
from streams.redis_socket import RedisSocket

PROJECT = "bench"
DATABASE = 510
KEYS = 50_000
BATCH_ROWS = 1_000
ROWS = 200_000
FEAST_ROWS = 10_000
VIEWS = [(view.name, view.columns) for view in CUSTOMER.views]
TURNS = 3
SEED = 21
Part = Callable[[RedisConnection], Figures]


def run_write(_root: Path, servers: Servers) -> Outcome:
    """Rows a second into Redis, batches of 1,000, by compare-and-set."""
    redis = RedisConnection.from_url(f"{servers.redis_url}/{DATABASE}")
    floor, ours = _in_turn(write_floor, write_ours, redis)
    feast = apart(write_feast, redis)
    return _outcome(ours, floor, feast, "one push of 1,000 rows at a time")


def run_read(_root: Path, servers: Servers) -> Outcome:
    """Rows a second out of Redis, 1,000 a pipeline."""
    redis = RedisConnection.from_url(f"{servers.redis_url}/{DATABASE}")
    apart(write_ours, redis)
    floor, ours = _in_turn(read_floor, read_ours, redis)
    feast = apart(read_feast, redis)
    return _outcome(ours, floor, feast, "get_online_features of 1,000 rows at a time")


def _in_turn(floor: Part, ours: Part, redis: RedisConnection) -> tuple[Figures, Figures]:
    """Run both alternately and return the median run of each, so that a noisy moment falls on both."""
    runs = [(apart(floor, redis), apart(ours, redis)) for _ in range(TURNS)]
    return _median([one for one, _ in runs]), _median([one for _, one in runs])


def _median(runs: list[Figures]) -> Figures:
    return sorted(runs, key=lambda figures: figures.events_per_s)[len(runs) // 2]


def write_ours(redis: RedisConnection) -> Figures:
    """Encode and send batch by batch, as the stages' writer does."""
    codec, batches = _codec(), _batches()
    line = RedisSocket(redis, 5.0, 30.0)
    line.exchange(codec.load(), 1)
    line.command("FLUSHDB")
    meter = Meter()
    for number, (keys, values, times) in enumerate(batches):
        stamps = np.arange(number * BATCH_ROWS, number * BATCH_ROWS + len(keys))
        line.exchange(codec.encode(keys, values, times, stamps, epoch=1), codec.calls(len(keys)))
    return meter.read(ROWS)


def write_floor(redis: RedisConnection) -> Figures:
    """Send the same bytes, made before."""
    codec = _codec()
    line = RedisSocket(redis, 5.0, 30.0)
    line.exchange(codec.load(), 1)
    line.command("FLUSHDB")
    prebuilt = []
    for number, (keys, values, times) in enumerate(_batches()):
        stamps = np.arange(number * BATCH_ROWS, number * BATCH_ROWS + len(keys))
        prebuilt.append((codec.encode(keys, values, times, stamps, epoch=1), codec.calls(len(keys))))
    meter = Meter()
    for data, calls in prebuilt:
        line.exchange(data, calls)
    return meter.read(ROWS)


def write_feast(redis: RedisConnection) -> Figures:
    """Push the same number of features through the stock SDK."""
    with tempfile.TemporaryDirectory() as folder:
        store = _stock(redis, Path(folder))
        rows = dict.fromkeys(FEATURES, 1.5)
        frames = [
            frame([(f"c{i:06d}", 1_740_960_000_000 + start, rows) for i in range(BATCH_ROWS)], "customer_id")
            for start in range(0, FEAST_ROWS, BATCH_ROWS)
        ]
        meter = Meter()
        for data in frames:
            store.push("customer_push", data, to=PushMode.ONLINE)
        return meter.read(FEAST_ROWS)


def read_ours(redis: RedisConnection) -> Figures:
    """Encode, send and decode to arrays, as the scorer's reader does."""
    codec = RowReaderCodec(PROJECT, CUSTOMER.join_key, VIEWS)
    keys = _wanted()
    with _line(redis) as line:
        codec.decode(_ask(line, codec, keys[0]), len(keys[0]))
        meter = Meter()
        for wanted in keys:
            rows = codec.decode(_ask(line, codec, wanted), len(wanted))
            if rows is None or not rows.present.all():
                raise RuntimeError("rows are missing: the write before this read did not hold")
        return meter.read(ROWS)


def _ask(line: socket.socket, codec: RowReaderCodec, keys: NDArray[np.bytes_]) -> bytearray:
    line.sendall(codec.encode(keys))
    buffer = bytearray()
    while not buffer.endswith(b"\r\n") or codec.decode(buffer, len(keys)) is None:
        buffer += line.recv(1 << 18)
    return buffer


def read_floor(redis: RedisConnection) -> Figures:
    """Send prebuilt HMGETs and parse replies with hiredis, values left as bytes."""
    codec = RowReaderCodec(PROJECT, CUSTOMER.join_key, VIEWS)
    keys = _wanted()
    commands = [codec.encode(wanted) for wanted in keys]
    reader = hiredis.Reader()
    with _line(redis) as line:
        meter = Meter()
        for command, wanted in zip(commands, keys, strict=True):
            line.sendall(command)
            left = len(wanted)
            while left:
                reader.feed(line.recv(1 << 18))
                while left and reader.gets() is not False:
                    left -= 1
        return meter.read(ROWS)


def read_feast(redis: RedisConnection) -> Figures:
    """Read as many features through the stock SDK, to a dictionary."""
    with tempfile.TemporaryDirectory() as folder:
        store = _stock(redis, Path(folder))
        rows = dict.fromkeys(FEATURES, 1.5)
        names = [f"c{i:06d}" for i in range(BATCH_ROWS)]
        data = frame([(name, 1_740_960_000_000, rows) for name in names], "customer_id")
        store.push("customer_push", data, to=PushMode.ONLINE)
        references = [f"customer_view:{feature}" for feature in FEATURES]
        entities = [{"customer_id": name} for name in names]
        meter = Meter()
        for _ in range(FEAST_ROWS // BATCH_ROWS):
            store.get_online_features(references, entities).to_dict()
        return meter.read(FEAST_ROWS)


def _stock(redis: RedisConnection, folder: Path) -> FeatureStore:
    store = open_store(folder, redis, project="stockbench")
    apply(store, folder)
    return store


def _codec() -> RowWriterCodec:
    return RowWriterCodec(PROJECT, CUSTOMER.join_key, VIEWS)


def _batches() -> list[tuple[NDArray[np.bytes_], NDArray[np.float64], NDArray[np.int64]]]:
    """Distinct keys in a batch, every key four times in all: three in four writes replace a row."""
    rng = np.random.default_rng(SEED)
    names = np.array([f"c{i:06d}" for i in range(KEYS)], np.bytes_)
    order = np.concatenate([rng.permutation(KEYS) for _ in range(ROWS // KEYS)])
    values = rng.normal(100.0, 30.0, (BATCH_ROWS, len(CUSTOMER.columns)))
    times = np.full(BATCH_ROWS, 1_740_960_000_000)
    return [
        (names[order[at : at + BATCH_ROWS]], values, times + at) for at in range(0, len(order), BATCH_ROWS)
    ]


def _wanted() -> list[NDArray[np.bytes_]]:
    return [keys for keys, _, _ in _batches()]


def _line(redis: RedisConnection) -> socket.socket:
    line = socket.create_connection((redis.host, redis.port), 5.0)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.settimeout(30.0)
    line.sendall(b"SELECT %d\r\n" % redis.db)
    if line.recv(64) != b"+OK\r\n":
        raise RuntimeError("Redis did not select the database")
    return line


def _outcome(ours: Figures, floor: Figures, feast: Figures, how: str) -> Outcome:
    return Outcome(
        figures=ours,
        peers={"floor": floor, "feast": feast},
        ratios={
            "floor": ours.events_per_s / floor.events_per_s,
            "feast": ours.events_per_s / feast.events_per_s,
        },
        seed=SEED,
        notes=[
            f"an event is a row of {len(CUSTOMER.columns)} features",
            f"feast: {FEAST_ROWS:,} rows, {how}",
        ],
    )
