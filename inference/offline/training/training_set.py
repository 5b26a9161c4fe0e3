"""The point-in-time training set: what each event was served with, and what it turned out to be.

Streamed features are read from the feature log by event, so ties and late events are in them as the scorer
met them; nothing is recomputed. Labels come from the labels the gate accepted, and only those that were known
at the training moment. Batch features are those that the prediction recorded; an event without a prediction
gets them through Feast's point-in-time join.
"""

import hashlib

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.errors import ConfigError, ModelError
from contracts.event_identity import EventIdentity, identity_in
from contracts.frame import Columns
from contracts.pipeline import SourceStream
from features.project.durations import duration_ms
from features.project.running import RunningProject
from features.project.service import service_of
from features.vector import vectors_of
from inference.drift.full_windows import LONG_AGO, UNKNOWN, Began, first_ms
from inference.offline.fold.ordered import column_of
from inference.offline.fold.rows import PLACE
from inference.offline.lake.lake import Lake
from inference.offline.lake.profile_history import ProfileHistory
from inference.offline.lake.seed_note import finished_seed
from inference.offline.lake.served_profiles import ServedProfiles
from inference.offline.training.streamed_values import streamed_values

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# An event counts once, by its latest label known at the moment, of equal times the later in the log. A label
# is an event's when it has its id and its keys. A repeated id after the stream's memory is another event, and
# a label cannot say which it means: the first one has it. An event that no label says anything of is negative
# once `$absent_ms` have passed, where the project says so.
_LABELLED = """
WITH known AS (
    SELECT {identity}, "positive", known_ms FROM labels
    WHERE known_ms <= $until
    QUALIFY row_number() OVER (
        PARTITION BY {identity} ORDER BY known_ms DESC, "partition" DESC, pos DESC) = 1
), served AS (
    SELECT {identity}, event_ms, "row" FROM events
    WHERE event_ms <= $until - $maturity_ms
    QUALIFY row_number() OVER (PARTITION BY {identity} ORDER BY event_ms, "row") = 1
), judged AS (
    SELECT served.*, coalesce(known."positive", 0) AS "positive",
        coalesce(known.known_ms, served.event_ms + $absent_ms) AS known_ms, known.known_ms IS NULL AS absent
    FROM served LEFT JOIN known USING ({identity})
)
SELECT "row", "positive", known_ms FROM judged
WHERE NOT absent OR ($absent_ms >= 0 AND known_ms <= $until)
ORDER BY event_ms, i0, "row"
"""
NEVER_ABSENT = -1


class TrainingSet(msgspec.Struct, frozen=True, kw_only=True):
    """Labelled events in order of event time; all columns have n rows.

    `vectors` is (n, f) in the service's order; `label_ms` is when the label became known; `began` says when
    the stream began that they are of; `project` is whose events they are.
    """

    project: RunningProject
    vectors: Floats
    positive: Ints
    event_ms: Ints
    label_ms: Ints
    key: NDArray[np.bytes_]
    until_ms: int
    data_hash: str
    began: Began = UNKNOWN
    ids: NDArray[np.bytes_] | None = None

    def __len__(self) -> int:
        return len(self.positive)


def newest_ms(lake: Lake) -> int:
    """Return the newest moment the lake knows of: the default training moment.

    The clock of a replayed history is its newest event, whatever the clock on the wall says.
    """
    pipeline = lake.project.pipeline
    return max(
        int(lake.read(dataset, [source.time])[source.time].to_numpy().max())
        for source in (pipeline.scored, *pipeline.labels)
        for dataset in (pipeline.log_dataset(source),)
        if source.is_scored or lake.has(dataset)
    )


def label_source(project: RunningProject) -> SourceStream:
    """Return the source of the labels that the project's model learns from.

    Raises:
        ConfigError: E_TRAIN_NO_LABEL, it has no model, or one without labels.
    """
    label = project.model.declared.label if project.model else None
    found = next((s for s in project.pipeline.labels if label is not None and s.name == label.name), None)
    if found is None:
        raise ConfigError(
            "E_TRAIN_NO_LABEL", "the project has no model that learns from labels", str(project.folder),
            "declare a Model with label= in features.py",
        )  # fmt: skip
    return found


def build(lake: Lake, profiles: ProfileHistory, until_ms: int) -> TrainingSet:
    """Return all events up to `until_ms` whose label was known by then.

    Raises:
        ModelError: E_TRAIN_LABELS, there is none.
        StateError: E_LAKE_EMPTY. ConfigError: as `label_source`.
    """
    project = lake.project
    scored, named = project.pipeline.scored, identity_in(project.pipeline)
    found = _labelled(lake, named, until_ms)
    if not found.num_rows:
        raise ModelError(
            "E_TRAIN_LABELS", f"no event has a label known by {until_ms}", str(lake.folder),
            "wait until labels are due, or give a later --until",
        )  # fmt: skip
    keys = (name for link in project.pipeline.chain.links for name in link.fields)
    inputs = (name for one in service_of(project.model).of_event for name in one.tree.inputs())
    facts = tuple(dict.fromkeys([*named.compared, *keys, scored.time, *inputs, *PLACE]))
    features = [name for entity in project.entities for name in entity.columns]
    served = lake.read(project.pipeline.log_dataset(scored), [*facts, *features]).take(found["row"])
    event: Columns = {name: column_of(served[name].combine_chunks()) for name in facts}
    profile = ServedProfiles(lake, profiles).of(served)
    groups = [streamed_values(lake, served, entity) for entity in project.entities]
    vectors = vectors_of(project).assemble(event, groups, profile)
    positive, ids = found["positive"].to_numpy().astype(np.int64), named.ids_of(event)
    return TrainingSet(
        project=project, vectors=vectors, positive=positive, event_ms=event[scored.time],
        label_ms=found["known_ms"].to_numpy(),
        key=named.record_key(event), until_ms=until_ms,
        data_hash=_hash(ids, vectors, positive), began=_began(lake), ids=ids,
    )  # fmt: skip


def _began(lake: Lake) -> Began:
    """Return when the lake's stream began: long ago with a seed, else with its first events and labels."""
    if finished_seed(lake.folder) is not None:
        return LONG_AGO
    pipeline = lake.project.pipeline
    scored, labels = pipeline.scored, label_source(lake.project)
    if not lake.has(pipeline.log_dataset(labels)):
        return Began(first_ms(_times(lake, scored)), None)
    return Began(first_ms(_times(lake, scored)), first_ms(_times(lake, labels)))


def _times(lake: Lake, source: SourceStream) -> Ints:
    times: Ints = lake.read(lake.project.pipeline.log_dataset(source), [source.time])[source.time].to_numpy()
    return times


def _labelled(lake: Lake, named: EventIdentity, until_ms: int) -> pa.Table:
    pipeline, labels = lake.project.pipeline, label_source(lake.project)
    declared = lake.project.model.declared.label if lake.project.model else None
    assert declared is not None, "a model that learns from labels names them"
    events = _named(lake, named, pipeline.scored, "event_ms")
    events = events.append_column("row", pa.array(np.arange(events.num_rows)))
    asked = {
        "until": until_ms, "maturity_ms": duration_ms(declared.maturity) if declared.maturity else 0,
        "absent_ms": duration_ms(declared.negative_after) if declared.negative_after else NEVER_ABSENT,
    }  # fmt: skip
    with duckdb.connect() as database:
        database.register("events", events)
        database.register("labels", _named(lake, named, labels, "known_ms"))
        database.execute("SET threads = 1")
        identity = ", ".join(name for name in events.column_names if name.startswith("i"))
        return database.sql(_LABELLED.format(identity=identity), params=asked).to_arrow_table()


def _named(lake: Lake, named: EventIdentity, source: SourceStream, time: str) -> pa.Table:
    """Return a source's rows of the log: what tells events apart (`i0`, `i1`, ...), time and place."""
    pipeline = lake.project.pipeline
    last, also = pipeline.chain.last.position, ["positive"] if source.is_labels else []
    columns = [*named.compared, source.time, last, *also]
    table = lake.read(pipeline.log_dataset(source), list(dict.fromkeys(columns)))
    texts = named.identity_of({name: column_of(table[name].combine_chunks()) for name in named.compared})
    identity = {f"i{at}": pa.array(text).cast(pa.string()) for at, text in enumerate(texts)}
    kept = {name: table[name] for name in ("partition", *also)}
    return pa.table({**identity, time: table[source.time], "pos": table[last], **kept})


def _hash(ids: NDArray[np.bytes_], vectors: Floats, positive: Ints) -> str:
    """Hash what training reads: ids, vectors and outcomes, in order."""
    sha = hashlib.sha256()
    sha.update(b"\n".join(ids.tolist()))
    sha.update(np.ascontiguousarray(vectors).tobytes())
    sha.update(np.ascontiguousarray(positive).tobytes())
    return sha.hexdigest()
