"""Runs the workload through the service's own cores, and takes what comes out apart into plain tables.

THE ONLY FILE (with its store in memory, `tests/goldens/store.py`) THAT KNOWS THE SERVICE: when modules,
columns, wire names, hashes or encodings change, change this one, never the files in tests/goldens/payments.
Rows go in as record batches on the stages' input logs, batch by batch as their steps say; at some steps every
stage goes on from its last checkpoint, reads its log again from there, and its readers drop what comes twice.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.connections import KafkaConnection
from contracts.content_hash import content_hash, hashed_fields
from contracts.events import Prediction, Reason
from contracts.frame import Columns, Kind, concat, length, position, strings, take
from contracts.frame_check import FrameReader
from contracts.lanes import Lanes, LaneWriter, accept
from contracts.topics import FEATURES_LOG
from features.meaning import meanings_of
from inference.learning.core import LearnerCore
from inference.learning.settings import LearnerSettings
from inference.models.calibration import decode as decode_calibration
from inference.models.manifest import MODEL_FILE, Manifest, Thresholds
from inference.models.model import LightGbmModel, Model
from inference.policy.policy import DeclaredPolicy, policy_of, read_policy
from inference.policy.watch import FixedPolicy
from inference.reading.breaker import Breaker
from inference.reading.feature_rows import columns_needed, for_scoring, scoring_columns
from inference.reading.moment_reader import MomentReader
from inference.reading.served import FeatureServer
from inference.scorer.core import ScorerCore
from load.this_project import CUSTOMER, CUSTOMER_PROFILE, PIPELINE, PROJECT, SERVICE, TERMINAL
from streams.stage.core import Marker, StageCore
from streams.stage.definition import StageDefinition, stage_of
from tests.goldens.store import MemoryStore
from tests.goldens.tables import table

EPOCH = 1_764_547_200
HOUR_MS = 3_600_000
read_prediction = msgspec.json.Decoder(Prediction).decode
STEP_MS = 10_000.0  # of the scorer's clock between two steps: a breaker that opened tries again
Log = list[bytes]
Step = dict[str, Any]


class Inputs(NamedTuple):
    """A workload: rows and profiles as plain tables, what holds at each step, and the folder of the model."""

    rows: pa.Table
    profiles: pa.Table
    steps: list[Step]
    partitions: int
    model: Path | None


class Batching(NamedTuple):
    """How large record batches and calls are: no value depends on it. Zero is all rows of a step at once."""

    record_rows: int = 0
    call_records: int = 0
    scored_rows: int = 0


def _policy(path: Path) -> DeclaredPolicy:
    """Return the policy of the workload: what it calls cards are cases now."""
    return policy_of(path.read_bytes().replace(b"cards_a_day", b"cases_a_day"), path, PROJECT)


class FailingModel:
    """A model whose scores fail, of the same name."""

    def __init__(self, model: LightGbmModel) -> None:
        self.identity, self.thresholds = model.identity, model.thresholds

    def predict(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return no usable score."""
        return np.full(len(vectors), np.nan)

    def contributions(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return nothing."""
        return np.zeros((len(vectors), vectors.shape[1] + 1))


class _World:
    """What the scorer asks of time and models, as the step says."""

    def __init__(self) -> None:
        self.at_ms = 0.0
        self.model: Model | None = None

    def now_ms(self) -> float:
        return self.at_ms

    def elapsed_ms(self) -> float:
        return self.at_ms

    def current(self) -> Model | None:
        return self.model


class StagePart:
    """One partition of one stage: its input log, its core, and its changelog as a table of last values."""

    def __init__(self, definition: StageDefinition, number: int) -> None:
        self._definition, self._number = definition, number
        self.log: Log = []
        self._changelog: dict[bytes, bytes] = {}
        self._marker = Marker(input_offset=0, lanes={}, definitions_hash=definition.definitions_hash)
        self.core = self._began()

    def _began(self) -> StageCore:
        definition = self._definition
        rows = definition.rows(self._number)
        rows.load(dict(self._changelog), self._marker.extra)
        base = position(self._marker.input_offset)
        return StageCore(
            definition.source(self._number), rows, self._marker, definition.writer(self._number, base)
        )

    def checkpoint(self) -> None:
        """Keep what changed, and the place in the log, as a committed checkpoint would."""
        snapshot = self.core.snapshot()
        for key, value in snapshot.entries:
            if value is None:
                self._changelog.pop(key, None)
            else:
                self._changelog[key] = value
        self._marker = snapshot.marker

    def restore(self) -> None:
        """End the incarnation and begin another from the last checkpoint."""
        self.core = self._began()

    def work(self, call_records: int) -> Iterable[Any]:
        """Yield what comes of all that waits in the log, call by call."""
        waiting = list(enumerate(self.log))[self.core.input_offset :]
        size = call_records or max(1, len(waiting))
        for at in range(0, len(waiting), size):
            yield self.core.batch(waiting[at : at + size])


class Run:
    """One run of a workload.

    Args:
        model: read from the workload's folder; without one rules decide.
    """

    def __init__(self, inputs: Inputs, batching: Batching | None = None) -> None:
        self._inputs, self._batching = inputs, batching or Batching()
        count = inputs.partitions
        self._definitions = [
            StageDefinition(stage_of(PROJECT, name), "", count) for name in ("customer", "terminal")
        ]
        self._stages = [[StagePart(one, p) for p in range(count)] for one in self._definitions]
        self._writers: dict[str, LaneWriter] = {}
        self._feature_log: list[Log] = [[] for _ in range(count)]
        self._read: list[tuple[int, Lanes]] = [(0, {}) for _ in range(count)]
        self._frames = FrameReader(FEATURES_LOG.name, PIPELINE, columns_needed(PIPELINE))
        self._columns, self._meanings = scoring_columns(PIPELINE), meanings_of(PROJECT.entities)
        self.store, self._world = MemoryStore(EPOCH), _World()
        self._models = Models(inputs.model) if inputs.model else None
        server = FeatureServer(PROJECT, self.store.reader(), Breaker(250.0), EPOCH, 10_000)
        own = PROJECT.policy_path
        policies = FixedPolicy(
            _policy(inputs.model / "policy.yaml") if inputs.model else read_policy(own, PROJECT)
        )
        self._scorer = ScorerCore(PROJECT, server, self._world, self._world, EPOCH, policies)
        self._made = Made()

    def tables(self) -> dict[str, pa.Table]:
        """Run everything and return all values."""
        columns = columns_of(self._inputs.rows)
        step_of = columns["step"]
        bounds = np.searchsorted(step_of, np.arange(len(self._inputs.steps) + 1))
        assert (np.diff(step_of) >= 0).all(), "rows stand in the order of their steps"
        profiles = self._inputs.profiles.to_pylist()
        for number, step in enumerate(self._inputs.steps):
            for row in [row for row in profiles if row["step"] == number]:
                self.store.put_profile(row["customer_id"].encode(), row["time_ms"], row["values"])
            self._step(step, take(columns, slice(int(bounds[number]), int(bounds[number + 1]))))
        return self._made.tables(self._inputs, self._models, self.store)

    def _step(self, step: Step, rows: Columns) -> None:
        if step["restore"]:
            for part in self._parts():
                part.restore()
        self._publish(rows)
        for definition, parts in zip(self._definitions, self._stages, strict=True):
            for number, part in enumerate(parts):
                for made in part.work(self._batching.call_records):
                    self._route(definition, number, made)
        if step["checkpoint"]:
            for part in self._parts():
                part.checkpoint()
        self._world.at_ms += STEP_MS
        self.store.down = step["store"] == "down"
        self._world.model = self._models.of(step["model"]) if self._models else None
        self._score(self._waiting())

    def _parts(self) -> list[StagePart]:
        return [part for parts in self._stages for part in parts]

    def _publish(self, rows: Columns) -> None:
        """Put a step's rows into the logs of the stages that read them, as the gate's record batches."""
        if not length(rows):
            return
        is_label = rows["kind"][0] == b"label"
        source, number = ("labels", 0) if is_label else ("transactions", int(rows["source_partition"][0]))
        made = label_rows(rows) if is_label else payment_rows(rows)
        kind = Kind.LABEL if is_label else Kind.SCORED
        src = f"{source}/{number}"
        writer = self._writers.setdefault(src, LaneWriter(src, 0))
        size = self._batching.record_rows or length(rows)
        for at in range(0, length(rows), size):
            piece = take(made, slice(at, at + size))
            targets = np.full(length(piece), number, np.int32)
            upto = position(int(piece["raw_offset"][-1]) + 1)
            for target, data in writer.emit(kind, piece, targets, upto):
                self._stages[0][target].log.append(data)

    def _route(self, definition: StageDefinition, number: int, made: Any) -> None:
        """Let what a stage made go to the store, to the next stage or to the feature log, and to letters."""
        assert not made.refused, "every record is one of ours"
        for rows in made.store_rows:
            self.store.write(definition.entity, rows)
        first = definition.entity == CUSTOMER
        for target, data in made.records:
            (self._stages[1][target].log if first else self._feature_log[target]).append(data)
        for letter in made.dead_letters:
            self._made.refuse(letter.row["raw_partition"], letter.row["raw_offset"], letter.code)

    def _waiting(self) -> Columns:
        """Return the feature rows that nobody has scored, and keep those of labels."""
        parts = []
        for number, log in enumerate(self._feature_log):
            at, lanes = self._read[number]
            for data in log[at:]:
                frame = self._frames.read(data, lanes)
                rows = accept(frame, lanes, _no_gap)
                if length(rows) and frame.kind == Kind.LABEL:
                    self._made.labels.append(rows)
                elif length(rows):
                    self._made.late.append((rows["raw_partition"], rows["raw_offset"], rows["late"]))
                    parts.append(for_scoring(rows, self._columns, self._meanings))
            self._read[number] = (len(log), lanes)
        return concat(parts) if parts else {}

    def _score(self, rows: Columns) -> None:
        size = self._batching.scored_rows or max(1, length(rows))
        for at in range(0, length(rows), size):
            piece = take(rows, slice(at, at + size))
            scored = self._scorer.score(piece, self._world.at_ms)
            assert scored.judged is not None
            self._made.take(piece, scored.judged.vectors, scored.judged.scores, scored.predictions)


class Models:
    """The golden model with its calibration, the same without, and one that fails."""

    def __init__(self, folder: Path) -> None:
        text = (folder / "model.txt").read_text()
        said = msgspec.json.decode((folder / "model.json").read_bytes())
        assert tuple(said["features"]) == SERVICE.columns, "the model's features are the service's"
        manifest = Manifest(
            name="fraud", version="golden", definitions_hash="", features=said["features"],
            sha256={MODEL_FILE: "0" * 64}, thresholds=Thresholds(**said["thresholds"]),
        )  # fmt: skip
        calibration = decode_calibration((folder / "calibration.json").read_bytes(), "calibration.json")
        self.live = LightGbmModel(text, manifest, calibration=calibration)
        self.raw = LightGbmModel(text, manifest)
        self._by_word: dict[str, Model | None] = {
            "live": self.live, "absent": None, "fails": FailingModel(self.live),
        }  # fmt: skip

    def of(self, word: str) -> Model | None:
        """Return the model of a step: `live`, `absent` or `fails`."""
        return self._by_word[word]


class Made:
    """What came out so far."""

    def __init__(self) -> None:
        self.payments: list[Columns] = []
        self.labels: list[Columns] = []
        self.late: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
        self.vectors: list[NDArray[np.float64]] = []
        self.scores: list[NDArray[np.float64]] = []
        self.predictions: list[bytes] = []
        self.refused: dict[tuple[int, int], str] = {}

    def refuse(self, partition: int, offset: int, code: str) -> None:
        """Note a row that a stage left a dead letter of; a restored stage says so again."""
        self.refused[partition, offset] = code

    def take(
        self,
        rows: Columns,
        vectors: NDArray[np.float64],
        scores: NDArray[np.float64] | None,
        predictions: Sequence[bytes],
    ) -> None:
        """Note a batch's decisions."""
        self.payments.append(rows)
        self.vectors.append(vectors)
        self.scores.append(np.full(length(rows), np.nan) if scores is None else scores)
        self.predictions += predictions

    def tables(self, inputs: Inputs, models: Models | None, store: MemoryStore) -> dict[str, pa.Table]:
        """Return all values as plain tables."""
        numbers = _row_numbers(inputs.rows)
        payments, vectors = concat(self.payments), np.concatenate(self.vectors)
        rows = _numbered(payments["raw_partition"], payments["raw_offset"], numbers["payment"])
        late = dict(zip(*self._late(numbers["payment"]), strict=True))
        found = {
            "features": table({
                "row": rows, "late": [late[row] for row in rows],
                **_columns(CUSTOMER.columns, payments["customer_values"]),
                **_columns(TERMINAL.columns, payments["terminal_values"]),
            }),
            "vectors": table({"row": rows, **_columns(SERVICE.columns, vectors)}),
            "decisions": self._decisions(rows, vectors, models),
            "refused": table({
                "row": pa.array([numbers["payment"][place] for place in self.refused], pa.int64()),
                "code": list(self.refused.values()),
            }),
            "quality": self._quality(inputs, payments, models),
        }  # fmt: skip
        if self.labels:
            labels = concat(self.labels)
            of = _numbered(labels["raw_partition"], labels["raw_offset"], numbers["label"])
            found["label_features"] = table(
                {"row": of, **_columns(TERMINAL.columns, labels["terminal_values"])}
            )
        return found | stored_rows(store) | moment_rows(store, int(payments["appended_ms"].max()))

    def _late(self, numbers: dict[tuple[int, int], int]) -> tuple[list[int], list[int]]:
        partitions, offsets, late = (np.concatenate(column) for column in zip(*self.late, strict=True))
        return _numbered(partitions, offsets, numbers), late.tolist()

    def _decisions(self, rows: list[int], vectors: NDArray[np.float64], models: Models | None) -> pa.Table:
        """Return decisions as subscribers read them; scores bit by bit as the service holds them."""
        said = [read_prediction(data) for data in self.predictions]
        scores = np.concatenate(self.scores)
        shown = np.array([p.score if isinstance(p.score, float) else np.nan for p in said])
        assert np.array_equal(shown[~np.isnan(shown)], scores[~np.isnan(shown)]), "JSON says another score"
        raw = models.raw.predict(vectors) if models else np.full(len(rows), np.nan)
        return table({
            "row": rows, "raw_score": raw, "score": shown,
            "decision": [p.decision for p in said], "decided_by": [p.decided_by for p in said],
            "risk_band": [p.risk_band for p in said],
            "level": [p.rung if isinstance(p.rung, str) else "" for p in said],
            "degraded_why": [" ".join(p.degraded_why) for p in said],
            "rules": [" ".join(f"{r.id}={r.outcome}" for r in p.rules) for p in said],
            "reasons": ["; ".join(reason_text(reason) for reason in p.reasons) for p in said],
        })  # fmt: skip

    def _quality(self, inputs: Inputs, payments: Columns, models: Models | None) -> pa.Table:
        """Return the learner's matured figures at the end of the log; floats are exact, as hex."""
        settings = LearnerSettings(kafka=KafkaConnection(bootstrap_servers="none:1"), models=Path("none"))
        core = LearnerCore(PROJECT, settings, _Registry(models), _Watch)  # type: ignore[arg-type]
        core.take_predictions(self.predictions)
        known = {**payments, **{name: strings([""] * length(payments)) for name in ("channel", "country")}}
        core.take_log(known, Kind.SCORED, 0)
        for rows in self.labels:
            core.take_log(rows, Kind.LABEL, 0)
        records = core.report(_end_ms(inputs.rows), final=True).quality
        lines = [line for record in records if record.kind == "matured" for line in _figures(record)]
        return table({"record": [name for name, _ in lines], "value": [value for _, value in lines]})


class _Registry:
    """What the learner asks of the registry: the thresholds of the one model."""

    def __init__(self, models: Models | None) -> None:
        self._models = models

    def thresholds(self, model: str) -> Thresholds | None:
        return self._models.live.thresholds if self._models else None

    def champion(self) -> None:
        return None

    def in_shadow(self) -> list[str]:
        return []


class _Watch:
    """Watches no model's errors."""

    def __init__(self, model: str) -> None:
        self.model = model

    def feed_many(self, event_ms: Any, errors: Any) -> list[Any]:
        return []


def _figures(record: Any) -> list[tuple[str, str]]:
    model = "all models" if record.model is msgspec.UNSET else f"{record.model} as {record.stage}"
    name = f"{record.window_days} days, {model}"
    counts = [(f"{name}: {_golden(key)}", str(value)) for key, value in record.counts.items()]
    return counts + [(f"{name}: {_golden(key)}", float(value).hex()) for key, value in record.figures.items()]


def _golden(name: str) -> str:
    """Return what the goldens call a figure: what are events and positives now."""
    if name in ("true_positives", "false_positives"):
        return name
    return name.replace("events", "payments").replace("positives", "frauds")


def reason_text(reason: Reason) -> str:
    """Return a reason's code, feature and exact figures; its sentence is free to change."""
    parts = [reason.code]
    for name in ("feature", "value", "contribution"):
        value = getattr(reason, name)
        if value is not msgspec.UNSET and value is not None:
            parts.append(value if isinstance(value, str) else float(value).hex())
    return " ".join(parts)


def stored_rows(store: MemoryStore) -> dict[str, pa.Table]:
    """Return what the store holds of every key: values, event time by view, and until when they hold."""
    customers, terminals = (strings(sorted(store.keys[e.name])) for e in (CUSTOMER, TERMINAL))
    store.down = False
    found = {}
    for entity, keys, read in zip(
        (CUSTOMER, TERMINAL), (customers, terminals), store.reader(tiles=True).read(customers, terminals),
        strict=True,
    ):  # fmt: skip
        assert not read.failed.any(), read.error
        width = len(entity.columns)
        columns: dict[str, object] = {"key": [key.decode() for key in keys.tolist()]}
        for at, view in enumerate(entity.views):
            columns[f"{view.name} event_time"] = read.event_time_ms[:, at]
        columns |= {"valid_until_ms": read.valid_until_ms, **_columns(entity.columns, read.values[:, :width])}
        if entity == CUSTOMER:
            columns |= _columns(CUSTOMER_PROFILE.columns, read.values[:, width:])
        found[f"store_{entity.name}"] = table(columns)
    return found


def moment_rows(store: MemoryStore, at_ms: int) -> dict[str, pa.Table]:
    """Return every key's values an hour after a moment, finalised from the state that the store holds."""
    reader = MomentReader(PROJECT, store.reader(tiles=True), Breaker(250.0), lambda: True, EPOCH)
    customers, terminals = (strings(sorted(store.keys[e.name])) for e in (CUSTOMER, TERMINAL))
    stored = reader.read([customers, terminals], 0.0)
    assert stored is not None
    found = {}
    for entity, held in ((CUSTOMER, stored.held["customer"]), (TERMINAL, stored.held["terminal"])):
        moments = np.full(len(held.keys), at_ms + HOUR_MS, np.int64)
        as_of = reader.at(entity, held, moments)
        assert not as_of.uncertain.any()
        found[f"moment_{entity.name}"] = table({
            "key": [key.decode() for key in held.keys.tolist()], "valid_until_ms": as_of.valid_until_ms,
            **_columns(entity.columns, as_of.values),
        })  # fmt: skip
    return found


def columns_of(rows: pa.Table) -> Columns:
    """Return plain rows as columns; text is UTF-8 bytes, a null text is empty, a null number is 0."""
    made: Columns = {}
    for name in rows.column_names:
        column = rows[name]
        if pa.types.is_integer(column.type):
            made[name] = np.asarray(column.fill_null(0).to_numpy(), np.int64)
        else:
            made[name] = strings([value or "" for value in column.to_pylist()])
    return made


def payment_rows(rows: Columns) -> Columns:
    """Return payments as the gate writes them to the first stage's input."""
    made = _origin(rows) | {
        "amount_minor": rows["amount_minor"], "currency": rows["currency"], "channel": rows["channel"],
        "country": rows["country"], "traceparent": strings([""] * length(rows)),
    }  # fmt: skip
    return made | {"content_hash": content_hash(made, hashed_fields(PIPELINE.scored))}


def label_rows(rows: Columns) -> Columns:
    """Return labels as the gate writes them to the first stage's input."""
    return _origin(rows) | {
        "label": np.where(rows["label"] == 1, b"fraud", b"legitimate"),
        "positive": rows["label"].astype(np.uint8), "label_time": rows["label_time"],
        "source": rows["source"],
    }  # fmt: skip


def _origin(rows: Columns) -> Columns:
    return {
        "pos": np.array([position(offset) for offset in rows["source_offset"].tolist()], np.int64),
        "raw_partition": rows["source_partition"].astype(np.int32), "raw_offset": rows["source_offset"],
        "appended_ms": rows["appended_ms"], "transaction_id": rows["transaction_id"],
        "customer_id": rows["customer_id"], "terminal_id": rows["terminal_id"],
        "event_time": rows["event_time"],
    }  # fmt: skip


def _columns(names: Sequence[str], values: NDArray[np.float64]) -> dict[str, object]:
    return {name: values[:, at] for at, name in enumerate(names)}


def _row_numbers(rows: pa.Table) -> dict[str, dict[tuple[int, int], int]]:
    """Return the number of each row by kind and place in the log."""
    found: dict[str, dict[tuple[int, int], int]] = {"payment": {}, "label": {}}
    names = ("kind", "source_partition", "source_offset", "row")
    for kind, partition, offset, row in zip(*(rows[name].to_pylist() for name in names), strict=True):
        found[kind][partition, offset] = row
    return found


def _numbered(
    partitions: NDArray[Any], offsets: NDArray[Any], numbers: dict[tuple[int, int], int]
) -> list[int]:
    return [numbers[place] for place in zip(partitions.tolist(), offsets.tolist(), strict=True)]


def _end_ms(rows: pa.Table) -> int:
    """Return when the last row came into the log."""
    return int(max(rows["appended_ms"].to_pylist()))


def _no_gap(frame: Any) -> None:
    raise AssertionError(f"a record is missing on {frame.src} before {frame.frm}")
