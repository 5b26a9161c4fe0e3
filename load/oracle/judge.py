"""The whole judgement: one dump in, counts of everything that must not be out."""

import json
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from load.oracle import declared as declarations
from load.oracle.bits import same, where
from load.oracle.decisions import Scores
from load.oracle.dump import Dump, Record
from load.oracle.findings import Findings
from load.oracle.intake import LABELS, PAYMENTS, Intake, Origin, intake
from load.oracle.lake import check_lake
from load.oracle.stages import Customers, Judged, Terminals, customers, feature_log, terminals
from load.oracle.store import check_store
from load.oracle.vectors import vector


class Verdict(msgspec.Struct, kw_only=True):
    """What the oracle says of a run: what was wrong, and how much was looked at."""

    counts: dict[str, int]
    examples: dict[str, list[str]]
    looked_at: dict[str, int]
    degraded: dict[str, int]
    seconds: float

    @property
    def clean(self) -> bool:
        """Return whether nothing was wrong."""
        return not any(self.counts.values())


class Expected(NamedTuple):
    """What must come of the raw topics and the order between the stages, and what was wrong there already."""

    taken: Intake
    known: Customers
    made: Terminals
    found: Findings


def expect(dump: Dump) -> Expected:
    """Recompute a run: most of a judgement's time."""
    found = Findings()
    taken = intake(dump)
    known = customers(dump, taken, found)
    return Expected(taken, known, terminals(dump, taken, known, found), found)


def judge(dump: Dump, expected: Expected | None = None) -> Verdict:
    """Judge a run; `expected` saves the recomputation where raw topics and order are the same."""
    began_s, found = time.monotonic(), Findings()
    taken, known, made, earlier = expected or expect(dump)
    found.merge(earlier)
    order = feature_log(dump, taken, (known, made), found)
    predictions = _predictions(dump, taken, (known, made), found)
    _check_order(predictions, order, found)
    Scores(dump.declared, dump.models).check([json for _, json in predictions.values()], found)
    _check_letters(dump, taken, known, found)
    _check_lost(taken, known, order, predictions.keys(), found)
    _check_conservation(dump, known, predictions.keys(), found)
    _check_seen(dump, found)
    check_lake(dump, order, found)
    check_store(dump, {"customer": known.store, "terminal": made.store}, found)
    looked_at = {
        "raw_payments": len(dump.topics[PAYMENTS]), "raw_labels": len(dump.topics[LABELS]),
        "predictions": len(predictions), "repeats_ignored": len(known.repeats),
        "dead_letters": len(taken.refused) + len(known.conflicts),
        "values": sum(len(row.values) for row in (*known.rows.values(), *made.rows.values())),
        "store_rows": len(known.store) + len(made.store), "late": sum(map(_is_late, made.rows.values())),
    }  # fmt: skip
    why = Counter(word for _, one in predictions.values() for word in one["degraded_why"])
    return Verdict(
        counts=dict(found.counts), examples=found.examples, looked_at=looked_at, degraded=dict(why),
        seconds=round(time.monotonic() - began_s, 1),
    )  # fmt: skip


Predictions = dict[Origin, tuple[Record, dict[str, Any]]]


def _predictions(
    dump: Dump, taken: Intake, stages: tuple[Customers, Terminals], found: Findings
) -> Predictions:
    """Return each payment's one prediction, its content checked against the payment and its features."""
    known, made = stages
    predictions: Predictions = {}
    names = [
        name
        for entity in ("customer", "terminal")
        for name in declarations.columns(declarations.entity(dump.declared, entity))
    ]
    for record in dump.topics["predictions"]:
        prediction = json.loads(record.value or b"")
        source = prediction["source"]
        origin = Origin(source["topic"], source["partition"], source["offset"])
        if origin not in known.rows:
            found.add("phantom", f"a prediction of {origin}")
        elif origin in predictions:
            found.add("duplicate", f"a second prediction of {origin}")
        else:
            predictions[origin] = (record, prediction)
            terminal = made.rows[origin].values if origin in made.rows else []
            stored = dict(zip(names, known.rows[origin].values + terminal, strict=False))
            _check_prediction(dump, taken.good[origin], prediction, stored, found)
    return predictions


def _check_prediction(
    dump: Dump,
    event: dict[str, Any],
    prediction: dict[str, Any],
    stored: Mapping[str, float],
    found: Findings,
) -> None:
    source, values = prediction["source"], prediction["features"]["values"]
    name = f"{dump.declared.epoch}-{source['partition']}-{source['offset']}"
    if prediction["prediction_id"] != name:
        found.add("phantom", f"{prediction['prediction_id']} should be {name}")
    for field in ("transaction_id", "customer_id", "terminal_id", "event_time"):
        if prediction[field] != event[field]:
            found.add("feature_mismatch", f"{name}: {field} is {prediction[field]!r}, not {event[field]!r}")
    recorded = dict(zip(dump.declared.columns, values, strict=True))
    profile = {column: recorded[column] for column in dump.declared.profile}
    if prediction["features"]["groups"]["profile"]["status"] == "default" and any(
        value is not None for value in profile.values()
    ):
        found.add("feature_mismatch", f"{name}: a profile that is not there has values")
    expected = vector(dump.declared.columns, event, {**stored, **profile})
    if not same(values, expected):
        found.add("feature_mismatch", f"{name}: {where(values, expected, dump.declared.columns)}")


def _check_order(predictions: Predictions, order: Mapping[Origin, tuple[int, int]], found: Findings) -> None:
    """Predictions of one partition of `features.log` keep its order in each partition they went to."""
    newest: dict[tuple[int, int], int] = {}
    for origin, (record, _) in predictions.items():
        if origin not in order:
            continue
        partition, number = order[origin]
        lane = (record.partition, partition)
        if number < newest.get(lane, -1):
            found.add("order", f"the prediction of {origin} comes after one of a later row")
        newest[lane] = max(number, newest.get(lane, -1))


def _check_letters(dump: Dump, taken: Intake, known: Customers, found: Findings) -> None:
    """Every refused record has one letter with its code; copies of a letter count once."""
    wanted: dict[Origin, str] = {**taken.refused, **known.conflicts}
    raw = {
        Origin(topic, record.partition, record.offset): record
        for topic in (PAYMENTS, LABELS)
        for record in dump.topics[topic]
    }
    letters: dict[Origin, str] = {}
    for topic in (PAYMENTS, LABELS):
        for record in dump.topics[f"{topic}.dlq"]:
            facts = {name: (value or b"").decode() for name, value in record.headers}
            said = {name: facts.get(f"headrace.dlq.{name}", "") for name in ("topic", "partition", "offset")}
            origin = Origin(said["topic"], int(said["partition"]), int(said["offset"]))
            code = facts["headrace.dlq.code"]
            if wanted.get(origin) != code or letters.get(origin, code) != code:
                found.add("dlq_extra", f"{origin} has a letter {code}, due is {wanted.get(origin)}")
            elif origin in taken.refused and (record.key, record.value) != (
                raw[origin].key,
                raw[origin].value,
            ):
                found.add("dlq_extra", f"{origin}: the letter's bytes are not the record's")
            letters[origin] = code
    for origin in wanted.keys() - letters.keys():
        found.add("dlq_missing", f"{origin} has no letter {wanted[origin]}")


def _check_lost(
    taken: Intake, known: Customers, order: Mapping[Origin, Any], predicted: Any, found: Findings
) -> None:
    """Every good payment has a prediction, or is a repeat or in conflict; every good label is in the log."""
    for origin in taken.good:
        if origin.topic == LABELS:
            if origin not in order:
                found.add("lost", f"the label {origin} is not in features.log")
        elif origin not in predicted and origin not in known.repeats and origin not in known.conflicts:
            where = "was scored" if origin in order else "reached features.log"
            found.add("lost", f"the payment {origin} never {where}")


def _check_conservation(dump: Dump, known: Customers, predicted: Any, found: Findings) -> None:
    """Raw payments = predictions + letters + repeats, in each partition."""
    raw = Counter(record.partition for record in dump.topics[PAYMENTS])
    out: Counter[int] = Counter(origin.partition for origin in (*predicted, *known.repeats))
    lettered = {
        (int(facts[b"partition"]), int(facts[b"offset"]))
        for record in dump.topics[f"{PAYMENTS}.dlq"]
        if (facts := {n.removeprefix("headrace.dlq.").encode(): v or b"" for n, v in record.headers})
    }
    out.update(partition for partition, _ in lettered)
    for partition, count in raw.items():
        if out[partition] != count:
            found.add("conservation", f"transactions/{partition}: {count} records, {out[partition]} outcomes")


def _check_seen(dump: Dump, found: Findings) -> None:
    """What a reader saw as committed is there at the end, and nothing else is."""
    final = {(record.partition, record.offset): record.value for record in dump.topics["predictions"]}
    seen = {(partition, offset): value for partition, offset, value in dump.seen}
    for place, value in seen.items():
        if final.get(place) != value:
            found.add("aborted_read", f"predictions/{place[0]}@{place[1]} was read and is not there")
    for place in final.keys() - seen.keys():
        found.add("aborted_read", f"predictions/{place[0]}@{place[1]} is there and was never read")


def _is_late(row: Judged) -> bool:
    return row.late > 0
