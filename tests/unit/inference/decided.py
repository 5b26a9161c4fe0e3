"""A lake with decisions in it: the scorer's own core over the feature log, stored as by the archive."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from contracts.frame import Columns, strings
from inference.models.manifest import Champion
from inference.models.model import Model
from inference.models.provenance import Provenance
from inference.offline.lake.lake import Lake
from inference.offline.lake.profile_history import NoProfileHistory
from inference.offline.training import training_set
from inference.offline.training.settings import TrainSettings
from inference.offline.training.train import train
from inference.policy.policy import DeclaredPolicy
from inference.policy.store import keep
from inference.policy.watch import FixedPolicy
from inference.reading.breaker import Breaker
from inference.reading.served import FeatureServer
from inference.release.champion import definitions_of, load_champion
from inference.release.registry import Change, Registry
from inference.scorer.core import ScorerCore
from load.this_project import CHAIN, CUSTOMER, CUSTOMER_PROFILE, PROJECT, TERMINAL
from streams.archive.parquet_files import file_path, write_whole
from streams.archive.rows import JsonRows, RawPrediction
from tests.lake_maker import Record, make_lake
from tests.unit.inference.conftest import DAY_MS, Made, events
from tests.unit.inference.support import EPOCH, MemoryReader, StillClock, StoredRow, policy

CHANGE = Change(who="tester", at_ms=1, why="because")
PROFILES_OF = ("c1", "c2", "c3", "c4", "c5")


class One:
    """A source that a test sets."""

    def __init__(self, model: Model | None) -> None:
        self.model = model

    def current(self) -> Model | None:
        return self.model


def registry_of(made: Made, folder: Path) -> Registry:
    """Return a registry with one small champion, trained on the made lake."""
    data = training_set.build(made.lake, NoProfileHistory(), training_set.newest_ms(made.lake))
    settings = TrainSettings(
        max_bin=63, rounds_max=10, rounds_patience=5, validation_share=0.25, review_share=0.05
    )
    trained = train(data, settings, Provenance())
    found = Registry(folder)
    found.promote(found.add("fraud", trained.files, trained.manifest, CHANGE).id, CHANGE)
    return found


def champion_of(registry: Registry) -> Model:
    """Return the champion as the scorer loads it."""
    entry = registry.find("champion")
    pointer = Champion(name=entry.name, version=entry.version, sha256=entry.sha256)
    return load_champion(registry.models, pointer, definitions_of(PROJECT))


def feature_log(lake: Lake) -> Columns:
    """Return the lake's payments as the scorer reads them, partition after partition."""
    table = lake.read("features")
    whole = {
        name: table[name].to_numpy()
        for name in (
            "raw_partition", "raw_offset", "appended_ms", "event_time", "amount_minor", "customer_pos",
                     "terminal_partition", "terminal_pos",
        )
    }  # fmt: skip
    texts = {
        name: strings(table[name].to_pylist())
        for name in ("transaction_id", "customer_id", "terminal_id", "traceparent")
    }
    values = {
        f"{entity.name}_values": np.column_stack([table[name].to_numpy() for name in entity.columns])
        for entity in (CUSTOMER, TERMINAL)
    }
    return {**whole, **texts, **values}


def snapshot(lake: Lake, day_ms: int) -> dict[str, np.ndarray]:
    """Write one day's profiles of a few customers and return them."""
    rng = np.random.default_rng(9)
    profiles = {name: rng.random(len(CUSTOMER_PROFILE.columns)) for name in PROFILES_OF}
    folder = lake.folder / CUSTOMER_PROFILE.name
    folder.mkdir(exist_ok=True)
    columns = {
        name: [row[at] for row in profiles.values()] for at, name in enumerate(CUSTOMER_PROFILE.columns)
    }
    day = np.datetime64(day_ms, "ms").astype("datetime64[D]").astype(str)
    pq.write_table(pa.table({"customer_id": list(profiles), **columns}), folder / f"snapshot={day}.parquet")
    return profiles


class Decider:
    """Decides the lake's payments in batches, each perhaps under another model, policy or store."""

    def __init__(self, lake: Lake, registry: Registry) -> None:
        self.lake, self.registry = lake, registry
        self.rows, self.reader, self.models = feature_log(lake), MemoryReader(), One(None)
        self._policies = FixedPolicy(policy())
        keep(registry.models, self._policies.current())
        self.clock = StillClock()
        server = FeatureServer(PROJECT, self.reader, Breaker(250.0), EPOCH)
        self._core = ScorerCore(PROJECT, server, self.models, self.clock, EPOCH, self._policies)
        self.records: list[bytes] = []

    def policy_is(self, declared: DeclaredPolicy) -> None:
        """Put a policy in force, kept as the watch keeps it."""
        keep(self.registry.models, declared)
        self._policies._declared = declared

    def profiles_are(self, profiles: dict[str, np.ndarray], day_ms: int) -> None:
        """Put profiles of one day in the store."""
        for name, values in profiles.items():
            self.reader.rows[CUSTOMER_PROFILE.name, name.encode()] = StoredRow(values, day_ms, -1)

    def decide(self, begin: int, end: int) -> None:
        """Decide these rows in one batch."""
        part = {name: column[begin:end] for name, column in self.rows.items()}
        self.clock.at_ms += 1000
        self.records += self._core.score(part, self.clock.now_ms()).predictions

    def store(self, change: Callable[[list[bytes]], list[bytes]] = list) -> list[bytes]:
        """Write the predictions to the lake, perhaps changed, and return them."""
        write_predictions(self.lake, self.records)
        return self.records


def write_predictions(lake: Lake, values: Sequence[bytes]) -> None:
    """Write predictions as the archive does, in two files."""
    half = len(values) // 2
    for begin, end in ((0, half), (half, len(values))):
        records = [Record(at, 1, b"", values[at]) for at in range(begin, end)]
        table = JsonRows(RawPrediction, CHAIN).table(records)  # type: ignore[arg-type]
        write_whole(table, file_path(lake.folder, "predictions", 0, begin), begin, end)


def decided_lake(folder: Path, registry: Registry) -> tuple[Lake, list[bytes]]:
    """Return a lake with 1,500 payments decided under everything that can differ between batches."""
    payments, labels = events(count=1500)
    make_lake(folder, payments, labels)
    lake = Lake(folder, PROJECT)
    decider = Decider(lake, registry)
    times = decider.rows["event_time"]
    day_ms = int(np.median(times)) // DAY_MS * DAY_MS
    decider.decide(0, 200)
    decider.models.model = champion_of(registry)
    decider.decide(200, 500)
    decider.profiles_are(snapshot(lake, day_ms), day_ms)
    decider.decide(500, 800)
    decider.policy_is(policy(version="2", **RICHER))
    decider.decide(800, 1000)
    decider.reader.down = True
    decider.decide(1000, 1100)
    decider.reader.down = False
    decider.clock.at_ms += 60_000
    decider.policy_is(policy(version="3", reasons={"a_row": 3, "rows_max": 2}, thresholds=TIGHT))
    decider.decide(1100, 1500)
    return lake, decider.store()


TIGHT: dict[str, Any] = {"review": 0.05, "decline": 0.5}
_LATER = {"until": "2030-01-01T00:00:00Z", "who": "ana", "why": "a test"}
RICHER: dict[str, Any] = {
    "thresholds": TIGHT,
    "gatekeeper": {"mode": "declared", "clear": {"amount_minor": {"at_most": 4000.0}}},
    "overrides": [{"id": "o", "customer": "c7", "decision": "decline", **_LATER}],
    "snoozes": [{"id": "s", "customer": "c8", **_LATER}],
}
