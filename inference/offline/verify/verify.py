"""Does the feature log say what the raw events say, and the online store what the feature log says?

The keys with the smallest hashes are recomputed from their raw events in the order of the log, whole, so
that every row of a sampled key is judged. A stored row is judged at the position that it is stamped with.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.event_identity import identity_in
from contracts.frame import Columns, concat
from contracts.keys import hash64, joined_hash
from contracts.pipeline import SCORED, SourceStream
from features.definition import Entity
from inference.offline.fold.compare import Comparison
from inference.offline.fold.fold import fold
from inference.offline.fold.ordered import Selection
from inference.offline.fold.rows import origins
from inference.offline.lake.beginning import seeded_values
from inference.offline.lake.known_losses import words
from inference.offline.lake.lake import Lake
from inference.offline.lake.places import places
from inference.offline.verify import lake as verify_lake
from inference.offline.verify.cut import Cut, EntityCut, Logs, whole
from inference.offline.verify.label_order import labels_early
from inference.offline.verify.sample import Sample, whole_keys
from inference.offline.verify.store import StoreCompared, compare_store
from inference.reading.online_reader import FeatureReader, StoreUnavailable

Floats = NDArray[np.float64]


class Compared(msgspec.Struct, kw_only=True):
    """One entity's outcome: rows compared, and by feature how many values differ and how.

    `features` has those that differ: rows, missing (a value only when recomputed), extra (only in the log),
    mismatch (two different ones) and the mean symmetric error, in all and by day.
    """

    keys: int
    rows: int
    values: int
    rows_wrong: int
    late_flags_wrong: int
    features: dict[str, dict[str, object]]
    examples: list[dict[str, object]]


class Report(msgspec.Struct, kw_only=True):
    """What verification found; `store` is None with the reason beside it when Redis did not answer.

    `under_way` rows of the sample are too new to be judged: something before them is not in the lake yet.
    `holes` are what somebody has accepted as lost: `lost` records of the lake never came out of the stream,
    and of `unarchived` rows of the sample the raw record is gone.
    `label_mismatched` labels name an event of the log with other keys than the event's: they meet none.
    """

    entities: dict[str, Compared]
    raw_unanswered: int
    log_unfounded: int
    labels: int
    label_early: int
    label_mismatched: int = 0
    under_way: int = 0
    store: dict[str, StoreCompared] | None = None
    store_why: str = ""
    holes: list[str] = []
    lost: int = 0
    unarchived: int = 0

    @property
    def mismatches(self) -> int:
        """Rows that are wrong for a reason other than lag."""
        wrong = sum(part.rows_wrong + part.late_flags_wrong for part in self.entities.values())
        stored = sum(part.wrong for part in (self.store or {}).values())
        return wrong + stored + self.log_unfounded + self.raw_unanswered

    @property
    def share(self) -> float:
        """Mismatches as a share of the rows that were judged, in the log and in the store."""
        judged = sum(part.rows for part in self.entities.values())
        judged += sum(part.judged for part in (self.store or {}).values())
        return self.mismatches / max(1, judged)


class Sampled(msgspec.Struct, frozen=True, kw_only=True):
    """One entity's sample: its keys, its rows in log order (key, `pos`), and what the log holds of them."""

    keys: NDArray[np.bytes_]
    rows: Columns
    logged: Floats


def verify(lake: Lake, reader: FeatureReader | None, epoch: int, rows_min: int) -> Report:
    """Return what a sample of about `rows_min` rows an entity shows; `reader` None leaves the store out.

    Raises:
        StateError: E_LAKE_EMPTY.
    """
    logs = verify_lake.logs(lake)
    cut, gone = whole(lake, logs), verify_lake.unarchived(lake, logs[SCORED])
    samples = {entity.name: _sample(lake, logs, entity, rows_min) for entity in lake.project.entities}
    found = {
        entity.name: _again(lake, entity, samples[entity.name], cut.entities[entity.name])
        for entity in lake.project.entities
    }
    report = Report(
        entities={name: compared for name, (_, compared) in found.items()},
        raw_unanswered=verify_lake.unanswered(lake),
        log_unfounded=_unfounded(lake, logs, samples, cut, gone),
        labels=sum(logs[source.number].num_rows for source in lake.project.pipeline.labels),
        label_early=_label_early(lake, logs),
        label_mismatched=sum(_label_mismatched(lake, logs, one) for one in lake.project.pipeline.labels),
        holes=words(lake),
        lost=cut.lost,
        unarchived=int((samples[lake.project.entities[0].name].rows & gone).sum()),
        under_way=sum(int((part.rows & ~cut.entities[name].judged).sum()) for name, part in samples.items()),
    )
    if reader is None:
        report.store_why = "no Redis given"
        return report
    try:
        stored = reader.read(*(part.keys for part, _ in found.values()))
    except StoreUnavailable as error:
        report.store_why = str(error)
        return report
    report.store = {
        entity.name: compare_store(
            entity, part.keys, read, part.rows, part.logged, epoch, seeded_values(lake, entity, part.keys)
        )
        for entity, (part, _), read in zip(lake.project.entities, found.values(), stored, strict=True)
    }
    return report


def _sample(lake: Lake, logs: Logs, entity: Entity, rows_min: int) -> Sample:
    """Return keys of an entity with their scored rows; rows without a key are nobody's."""
    fields = lake.project.pipeline.chain.named(entity.name).fields
    keys = verify_lake.keys_of(logs[SCORED], fields)
    named = keys != b""
    chosen = whole_keys(keys[named], rows_min)
    rows = np.zeros(len(keys), np.bool_)
    rows[named] = chosen.rows
    return Sample(chosen.keys, rows)


def _again(lake: Lake, entity: Entity, sample: Sample, cut: EntityCut) -> tuple[Sampled, Compared]:
    """Fold a sample again and compare it with the log."""
    asked = Selection(
        entity=entity, keys=sample.keys.tolist(), before=cut.before, below=cut.below, is_raw=True,
        is_logged=True,
    )  # fmt: skip
    comparison, link = Comparison(), lake.project.pipeline.chain.named(entity.name)
    parts = [{entity.join_key: np.empty(0, "S1"), "pos": np.empty(0, np.int64)}]
    logged = [np.empty((0, len(entity.columns)))]
    for folded in fold(lake, asked):
        comparison.take(link, entity, folded)
        parts.append({name: folded.rows.columns[name] for name in parts[0]})
        logged.append(folded.rows.values)
    rows = concat(parts)
    compared = Compared(
        keys=len(np.unique(rows[entity.join_key])), rows=len(rows["pos"]), values=comparison.values,
        rows_wrong=comparison.differences.rows_wrong, late_flags_wrong=comparison.late_flags_wrong,
        features=comparison.differences.differing(), examples=comparison.examples,
    )  # fmt: skip
    keys = np.array(list(asked.keys or ()), np.bytes_)
    return Sampled(keys=keys, rows=rows, logged=np.concatenate(logged)), compared


def _unfounded(lake: Lake, logs: Logs, samples: dict[str, Sample], cut: Cut, gone: NDArray[np.bool_]) -> int:
    """Return how many judged rows of the first entity's sample have no raw record, but those known to."""
    name = lake.project.entities[0].name
    judged = samples[name].rows & cut.entities[name].judged & ~gone
    raw = lake.read(lake.project.pipeline.scored.topic, ["offset"])
    there = places(raw["partition"].to_numpy(), raw["offset"].to_numpy())
    log = logs[SCORED]
    mine = places(log["raw_partition"].to_numpy(), log["raw_offset"].to_numpy())[judged]
    return int((~np.isin(mine, there)).sum())


def _label_early(lake: Lake, logs: Logs) -> int:
    """Return how many labels stand in an entity's log before events older than they are."""
    pipeline, found = lake.project.pipeline, 0
    for entity in lake.project.entities:
        moved = {origin.kind: origin for origin in origins(pipeline, entity)}
        if SCORED not in moved:
            continue
        scored = moved[SCORED]
        for origin in (one for one in moved.values() if one.source.is_labels):
            events, labels = logs[SCORED], logs[origin.kind]
            count, more = events.num_rows, labels.num_rows
            found += labels_early(
                np.concatenate([verify_lake.keys_of(log, scored.fields) for log in (events, labels)]),
                np.concatenate([log[scored.pos].to_numpy() for log in (events, labels)]),
                np.concatenate([events[scored.time].to_numpy(), np.full(more, -1, np.int64)]),
                np.concatenate([np.full(count, -1, np.int64), labels[origin.time].to_numpy()]),
            )
    return found


def _label_mismatched(lake: Lake, logs: Logs, source: SourceStream) -> int:
    """Return how many labels have the id of a logged event, and not its keys."""
    if not logs[source.number].num_rows:
        return 0
    named = identity_in(lake.project.pipeline)
    labels, events = (
        named.identity_of(verify_lake.columns_of(logs[number], named.compared))
        for number in (source.number, SCORED)
    )
    is_named = np.isin(hash64(labels[0]), hash64(events[0]))
    return int((is_named & ~np.isin(joined_hash(*labels), joined_hash(*events))).sum())
