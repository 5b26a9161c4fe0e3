"""Rows, stores and models that the scorer's tests share; the store is in memory, the model a real one."""

import json
from pathlib import Path
from typing import NamedTuple

import lightgbm
import numpy as np
import yaml
from numpy.typing import NDArray

from contracts.frame import Columns, position, strings
from features.feast_row import RowsRead
from inference.models.manifest import CHAMPION_FILE, digest
from inference.policy.policy import DeclaredPolicy, policy_of, read_policy
from inference.reading.online_reader import StoreUnavailable
from load.this_project import CUSTOMER, CUSTOMER_PROFILE, DEFINITIONS_HASH, PROJECT, SERVICE, TERMINAL

EPOCH = 1_764_547_200
START_MS = 1_522_540_800_000
OWN_POLICY = read_policy(PROJECT.policy_path, PROJECT)  # the project's own


def feature_rows(count: int, seed: int = 1, partition: int = 0, first_offset: int = 0) -> Columns:
    """Return rows of Kind.SCORED as the terminal stage writes them, plausible and seeded."""
    rng = np.random.default_rng(seed)
    offsets = first_offset + np.arange(count)
    customer = rng.gamma(2.0, 3.0, (count, len(CUSTOMER.columns)))
    terminal = rng.gamma(2.0, 3.0, (count, len(TERMINAL.columns)))
    customer[rng.random(customer.shape) < 0.05] = np.nan
    return {
        "pos": np.array([position(offset) for offset in offsets.tolist()], np.int64),
        "raw_partition": np.full(count, partition, np.int32),
        "raw_offset": offsets.astype(np.int64),
        "appended_ms": START_MS + offsets * 100,
        "transaction_id": strings([f"t{partition}-{offset}" for offset in offsets.tolist()]),
        "customer_id": strings([f"c{key}" for key in rng.integers(0, max(1, count), count).tolist()]),
        "terminal_id": strings([f"s{key}" for key in rng.integers(0, max(1, count // 2), count).tolist()]),
        "event_time": START_MS + offsets * 60_000,
        "amount_minor": rng.gamma(2.0, 2500.0, count).astype(np.int64),
        "currency": strings(["EUR"] * count),
        "channel": strings(["pos"] * count),
        "country": strings(["BE"] * count),
        "traceparent": strings(["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"] * count),
        "customer_partition": np.zeros(count, np.int32),
        "customer_pos": np.array([position(offset, 1) for offset in offsets.tolist()], np.int64),
        "customer_values": customer,
        "late": np.zeros(count, np.uint8),
        "terminal_partition": np.full(count, partition, np.int32),
        "terminal_pos": np.array([position(offset, 2) for offset in offsets.tolist()], np.int64),
        "terminal_values": terminal,
    }


class StoredRow(NamedTuple):
    """One view of one key."""

    values: NDArray[np.float64]
    time_ms: int
    position: int


class MemoryReader:
    """A store in memory that answers as Redis does; `down` makes it fail."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, bytes], StoredRow] = {}
        self.down = False
        self.reads = 0

    def read(self, *keys: NDArray[np.bytes_]) -> tuple[RowsRead, ...]:
        """Return the rows of these keys."""
        customers, terminals = keys
        self.reads += 1
        if self.down:
            raise StoreUnavailable("E_STORE_UNAVAILABLE", "no answer", "memory")
        profile = (CUSTOMER_PROFILE.name, CUSTOMER_PROFILE.columns)
        customer = [(view.name, view.columns) for view in CUSTOMER.views]
        return (
            self._rows(customers, [*customer, profile]),
            self._rows(terminals, [(view.name, view.columns) for view in TERMINAL.views]),
        )

    def _rows(self, keys: NDArray[np.bytes_], views: list[tuple[str, tuple[str, ...]]]) -> RowsRead:
        values = np.full((len(keys), sum(len(columns) for _, columns in views)), np.nan)
        times = np.full((len(keys), len(views)), -1, np.int64)
        epochs, stamps = times.copy(), times.copy()
        for row, key in enumerate(keys.tolist()):
            at = 0
            for number, (view, columns) in enumerate(views):
                stored = self.rows.get((view, key))
                if stored is not None:
                    values[row, at : at + len(columns)] = stored.values
                    times[row, number] = stored.time_ms
                    stamps[row, number] = stored.position
                    epochs[row, number] = EPOCH if stored.position >= 0 else -1
                at += len(columns)
        return RowsRead(values, times, epochs, stamps, times >= 0, np.zeros(len(keys), bool), "")


class StillClock:
    """A clock that a test sets."""

    def __init__(self, at_ms: float = START_MS + 1e9) -> None:
        self.at_ms = at_ms

    def now_ms(self) -> float:
        """Return the set time."""
        return self.at_ms

    def elapsed_ms(self) -> float:
        """Return the set time."""
        return self.at_ms


def trained_text(
    trees: int = 20, leaves: int = 15, seed: int = 1, rows: int = 4000, upside_down: bool = False
) -> str:
    """Return the text of a small model that was really trained, on the service's columns.

    One that is `upside_down` was told that frauds are honest and the rest are frauds.
    """
    rng = np.random.default_rng(seed)
    vectors = rng.gamma(2.0, 3.0, (rows, len(SERVICE.columns)))
    vectors[rng.random(vectors.shape) < 0.03] = np.nan
    frauds = (np.nan_to_num(vectors[:, 0]) + rng.normal(0, 3, rows) > 14).astype(int)
    frauds = 1 - frauds if upside_down else frauds
    parameters = {
        "objective": "binary", "verbosity": -1, "num_threads": 1, "num_leaves": leaves, "seed": seed,
        "deterministic": True, "force_row_wise": True,
    }  # fmt: skip
    data = lightgbm.Dataset(vectors, frauds, feature_name=list(SERVICE.columns))
    return str(lightgbm.train(parameters, data, trees).model_to_string())


def write_model(
    models: Path, version: str, text: str, golden_text: str | None = None, **fields: object
) -> str:
    """Write a version's folder with right digests and return its manifest's digest."""
    folder = models / "fraud" / version
    folder.mkdir(parents=True)
    vectors = np.random.default_rng(5).gamma(2.0, 3.0, (16, len(SERVICE.columns)))
    scores = np.asarray(lightgbm.Booster(model_str=golden_text or text).predict(vectors, num_threads=1))
    golden = json.dumps({"vectors": vectors.tolist(), "scores": scores.tolist()}).encode()
    (folder / "model.txt").write_bytes(text.encode())
    (folder / "golden.json").write_bytes(golden)
    manifest = {
        "name": "fraud", "version": version, "definitions_hash": DEFINITIONS_HASH,
        "features": list(SERVICE.columns), "thresholds": {"review": 0.5, "decline": 0.9},
        "sha256": {"model.txt": digest(text.encode()), "golden.json": digest(golden)},
    } | fields  # fmt: skip
    data = json.dumps(manifest).encode()
    (folder / "manifest.json").write_bytes(data)
    return digest(data)


def promote(models: Path, version: str, sha256: str) -> None:
    """Point at the version, atomically."""
    pointer = models / f"{CHAMPION_FILE}.new"
    pointer.write_text(json.dumps({"name": "fraud", "version": version, "sha256": sha256}))
    pointer.rename(models / CHAMPION_FILE)


def policy(**parts: object) -> DeclaredPolicy:
    """Return the default policy with other parts, as a file of its own would declare it."""
    document = yaml.safe_load(PROJECT.policy_path.read_bytes()) | parts
    return policy_of(yaml.safe_dump(document, sort_keys=False).encode(), Path("policy.yaml"), PROJECT)
