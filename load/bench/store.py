"""Scenarios `store-write` and `store-read`: rows of the online store, ours against floor and stock SDK.

The floor is the same server given the same bytes with nothing around: prebuilt commands, replies counted.
"""

import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import hiredis
import msgspec
import numpy as np
from feast import FeatureStore
from feast.data_source import PushMode
from numpy.typing import NDArray

from contracts.connections import RedisConnection
from contracts.frame import Kind
from features.definition import DAY_MS
from features.feast_row import RowReaderCodec, RowWriterCodec
from features.feast_tiles import Tiles, TilesView
from features.state import EntityState
from headrace.servers import Servers
from load.bench.apart import apart
from load.bench.measure import Figures, Meter
from load.bench.outcome import Outcome
from load.peers.plain_store import apply, frame, open_store
from load.peers.plain_windows import FEATURES
from load.this_project import CUSTOMER
from runtime.redis_socket import RedisSocket

PROJECT = "bench"
DATABASE = 510
KEYS = 50_000
BATCH_ROWS = 1_000
ROWS = 200_000
FEAST_ROWS = 10_000
VIEWS = [(view.name, view.columns) for view in CUSTOMER.views]
TURNS = 3
SEED = 21
BEGIN_MS = 1_740_960_000_000
PAYMENTS_A_KEY = 20
Part = Callable[[RedisConnection], Figures]


class Batch(NamedTuple):
    """Rows of one write: keys (n,), values (n, k), event times (n,), and tiles of the keys or none."""

    keys: NDArray[np.bytes_]
    values: NDArray[np.float64]
    times_ms: NDArray[np.int64]
    tiles: Tiles | None


def run_write(_root: Path, servers: Servers) -> Outcome:
    """Rows a second into Redis, batches of 1,000, by compare-and-set."""
    redis = RedisConnection.from_url(f"{servers.redis_url}/{DATABASE}")
    floor, ours = _in_turn(write_floor, write_ours, redis)
    floor_tiles, ours_tiles = _in_turn(write_floor_tiles, write_ours_tiles, redis)
    feast = apart(write_feast, redis)
    outcome = _outcome(ours, floor, feast, "one push of 1,000 rows at a time")
    return msgspec.structs.replace(
        outcome,
        parts={"with_tiles": ours_tiles},
        peers={**outcome.peers, "floor_with_tiles": floor_tiles},
        ratios={
            **outcome.ratios, "floor_with_tiles": ours_tiles.events_per_s / floor_tiles.events_per_s,
        },
        notes=[
            *outcome.notes,
            f"tiles: packed states of {ours_tiles.extra['tile_bytes']:.0f} bytes a row in the mean",
        ],
    )  # fmt: skip


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
    return _write(redis, _codec(), _batches())


def write_ours_tiles(redis: RedisConnection) -> Figures:
    """Do the same with the keys' packed states beside the rows."""
    return _write(redis, _codec(tiles=True), _batches(tiles=True))


def write_floor(redis: RedisConnection) -> Figures:
    """Send the same bytes, made before."""
    return _write_prebuilt(redis, _codec(), _batches())


def write_floor_tiles(redis: RedisConnection) -> Figures:
    """Send the bytes of rows with tiles, made before."""
    return _write_prebuilt(redis, _codec(tiles=True), _batches(tiles=True))


def _write(redis: RedisConnection, codec: RowWriterCodec, batches: list[Batch]) -> Figures:
    line = _emptied(redis, codec)
    meter = Meter()
    for number, batch in enumerate(batches):
        line.exchange(_encoded(codec, number, batch), codec.calls(len(batch.keys)))
    return meter.read(ROWS, **_tile_bytes(batches))


def _write_prebuilt(redis: RedisConnection, codec: RowWriterCodec, batches: list[Batch]) -> Figures:
    line = _emptied(redis, codec)
    prebuilt = [
        (_encoded(codec, number, batch), codec.calls(len(batch.keys))) for number, batch in enumerate(batches)
    ]
    meter = Meter()
    for data, calls in prebuilt:
        line.exchange(data, calls)
    return meter.read(ROWS)


def _emptied(redis: RedisConnection, codec: RowWriterCodec) -> RedisSocket:
    line = RedisSocket(redis, 5.0, 30.0)
    line.exchange(codec.load(), 1)
    line.command("FLUSHDB")
    return line


def _encoded(codec: RowWriterCodec, number: int, batch: Batch) -> bytes:
    stamps = np.arange(number * BATCH_ROWS, number * BATCH_ROWS + len(batch.keys))
    return codec.encode(batch.keys, batch.values, batch.times_ms, stamps, 1, batch.tiles)


def _tile_bytes(batches: list[Batch]) -> dict[str, float]:
    packed = [len(state) for batch in batches if batch.tiles for state in batch.tiles.packed.tolist()]
    return {"tile_bytes": float(np.mean(packed))} if packed else {}


def write_feast(redis: RedisConnection) -> Figures:
    """Push the same number of features through the stock SDK."""
    with tempfile.TemporaryDirectory() as folder:
        store = _stock(redis, Path(folder))
        rows = dict.fromkeys(FEATURES, 1.5)
        frames = [
            frame([(f"c{i:06d}", BEGIN_MS + start, rows) for i in range(BATCH_ROWS)], "customer_id")
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
        data = frame([(name, BEGIN_MS, rows) for name in names], "customer_id")
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


def _codec(tiles: bool = False) -> RowWriterCodec:
    return RowWriterCodec(PROJECT, CUSTOMER.join_key, VIEWS, TilesView.of(CUSTOMER) if tiles else None)


def _batches(tiles: bool = False) -> list[Batch]:
    """Distinct keys in a batch, every key four times in all: three in four writes replace a row."""
    rng = np.random.default_rng(SEED)
    names = np.array([f"c{i:06d}" for i in range(KEYS)], np.bytes_)
    order = np.concatenate([rng.permutation(KEYS) for _ in range(ROWS // KEYS)])
    values = rng.normal(100.0, 30.0, (BATCH_ROWS, len(CUSTOMER.columns)))
    times = np.full(BATCH_ROWS, BEGIN_MS)
    beside = _tiles(rng) if tiles else None
    return [
        Batch(names[order[at : at + BATCH_ROWS]], values, times + at, beside)
        for at in range(0, len(order), BATCH_ROWS)
    ]


def _tiles(rng: np.random.Generator) -> Tiles:
    """Return the tiles of a batch of customers after ordinary months: some pay daily, most now and then."""
    count = BATCH_ROWS * PAYMENTS_A_KEY
    who = np.minimum(rng.zipf(1.3, count) - 1, BATCH_ROWS - 1)
    who[:BATCH_ROWS] = np.arange(BATCH_ROWS)
    names = np.array([f"c{i:06d}" for i in range(BATCH_ROWS)], np.bytes_)
    state = EntityState(CUSTOMER)
    state.apply(
        {
            "pos": np.arange(count), "customer_id": names[who],
            "terminal_id": np.array([f"m{i}" for i in rng.integers(0, 500, count)], np.bytes_),
            "event_time": np.sort(rng.integers(BEGIN_MS - 30 * DAY_MS, BEGIN_MS, count)),
            "amount_minor": rng.integers(100, 20_000, count),
        },
        Kind.SCORED,
    )  # fmt: skip
    packed = np.empty(BATCH_ROWS, np.object_)
    packed[:] = state.export(names)
    return Tiles(packed, state.valid_until_ms(names, np.full(BATCH_ROWS, BEGIN_MS)))


def _wanted() -> list[NDArray[np.bytes_]]:
    return [batch.keys for batch in _batches()]


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
