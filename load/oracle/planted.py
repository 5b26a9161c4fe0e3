"""Faults planted in a dump, one at a time: an oracle that does not find each of them proves nothing.

Each is a function that changes a copy of a sound dump, and names the count that must rise. What it changes
is drawn only among what the oracle judges by that count, so each is caught whatever the seed draws; a dump
that has nothing of the kind raises `Unfit`.
"""

import json
import math
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import lightgbm
import msgspec
import numpy as np

from load.oracle import declared as declarations
from load.oracle.dump import Dump, Record
from load.oracle.frames import read_frame
from load.oracle.judge import Judge
from load.oracle.letters import header, origin_of
from load.oracle.sources import ProjectOracle
from load.oracle.stages import CONFLICT, LOG, ends_of
from load.oracle.store import cells_of, orders_of
from load.oracle.strangers import FrameOracle

Random = np.random.Generator
Change = Callable[[Dump, Random], None]
Item = TypeVar("Item")


class Unfit(LookupError):
    """A dump has nothing that a fault could be planted in."""


class Planted(NamedTuple):
    """One planted fault: what it is, the count that must rise, and whether it did."""

    what: str
    name: str
    counts: dict[str, int]

    @property
    def caught(self) -> bool:
        """Return whether the oracle found it, under the name it must have."""
        return self.counts[self.name] > 0


def plant_all(dump: Dump, seed: int = 0) -> Iterator[Planted]:
    """Plant each fault in a copy of its own and judge it; the dump must be sound.

    Those of the learner are left out where the run had none.

    Raises:
        Unfit: the run had nothing of a kind that a fault is planted in, say no record of a stranger.
    """
    sound = Judge(dump)
    for number, (_, name) in enumerate(FAULTS):
        if dump.declared.learner is not None or not name.startswith("quality"):
            yield plant(dump, sound, number, seed)


def plant(dump: Dump, sound: Judge, number: int, seed: int) -> Planted:
    """Plant one fault of `FAULTS` in a copy of a sound dump, of which there is a judge.

    Raises:
        Unfit: the dump has nothing of the kind.
    """
    change, name = FAULTS[number]
    copy = dump.copy()
    change(copy, np.random.default_rng([seed, number]))
    counts = {key: count for key, count in sound.judge(copy).counts.items() if count or key == name}
    return Planted((change.__doc__ or "").strip().rstrip("."), name, counts)


def table(planted: list[Planted]) -> str:
    """Return the planted faults as a Markdown table."""
    lines = ["| planted | must raise | caught | what the oracle counted |", "|---|---|---|---|"]
    for one in planted:
        counted = ", ".join(f"{name} {count}" for name, count in one.counts.items())
        lines.append(f"| {one.what} | {one.name} | {'yes' if one.caught else '**no**'} | {counted} |")
    return "\n".join(lines) + "\n"


def drop_prediction(dump: Dump, rng: Random) -> None:
    """One prediction is missing, for its readers too."""
    record = dump.topics["predictions"].pop(_any(dump.topics["predictions"], rng))
    dump.seen.remove((record.partition, record.offset, record.value or b""))


def double_prediction(dump: Dump, rng: Random) -> None:
    """One prediction comes twice."""
    predictions = dump.topics["predictions"]
    record = predictions[_any(predictions, rng)]
    _append(dump, msgspec.structs.replace(record, offset=1 << 40))


def predict_a_repeat(dump: Dump, rng: Random) -> None:
    """A repeated event is predicted as if it were new."""
    predicted = {
        (p["partition"], p["offset"]) for p in (_read(r)["source"] for r in dump.topics["predictions"])
    }
    scored = _scored(dump)
    letters = map(origin_of, dump.topics[_letters(dump)])
    lettered = {origin[1:] for origin in letters if origin.topic == scored}
    silent = [
        (r.partition, r.offset) for r in dump.topics[scored]
        if (r.partition, r.offset) not in predicted and (r.partition, r.offset) not in lettered
    ]  # fmt: skip
    partition, offset = _one_of(silent, rng, "no repeated payment")
    record = dump.topics["predictions"][0]
    prediction = _read(record)
    prediction["source"] |= {"partition": partition, "offset": offset}
    _append(dump, msgspec.structs.replace(record, offset=1 << 40, value=json.dumps(prediction).encode()))


def flip_bit(dump: Dump, rng: Random) -> None:
    """The last bit of one value of one prediction's vector is flipped."""
    known = _cells_where(dump, lambda value: value is not None)

    def change(prediction: dict[str, Any]) -> None:
        values, cells = prediction["features"]["values"], known(prediction)
        at = cells[int(rng.integers(len(cells)))]
        values[at] = math.nextafter(values[at], math.inf)

    _change_one(dump, rng, change, lambda p: bool(known(p)))


def flip_bit_in_log(dump: Dump, rng: Random) -> None:
    """The last bit of one value of the first entity in features.log is flipped."""
    log, column = dump.topics[LOG], f"{dump.declared.chain[0][0]}_values"
    rows = {
        at: where for at in _alone(dump, labels=False)
        if (where := _known_values(log[at].value or b"", column))
    }  # fmt: skip
    at = _one_of(list(rows), rng, "no record of features.log with a value of the first entity")
    data = bytearray(log[at].value or b"")
    begin = _begin_of(bytes(data), column)
    data[begin + 8 * _one_of(rows[at], rng, "no value")] ^= 1
    log[at] = msgspec.structs.replace(log[at], value=bytes(data))


def null_for_zero(dump: Dump, rng: Random) -> None:
    """A value of 0 is told as null."""
    zeros = _cells_where(dump, lambda value: value == 0.0)

    def change(prediction: dict[str, Any]) -> None:
        prediction["features"]["values"][zeros(prediction)[0]] = None

    _change_one(dump, rng, change, lambda p: bool(zeros(p)))


def swap_model(dump: Dump, rng: Random) -> None:
    """One score is another model's, which knows one tree less."""
    boosters = {name: lightgbm.Booster(model_str=model.text) for name, model in dump.models.items()}

    def other(prediction: dict[str, Any]) -> float:
        booster = boosters[prediction["model"]["sha256"]]
        row = np.array([[np.nan if v is None else v for v in prediction["features"]["values"]]])
        return float(booster.predict(row, num_iteration=booster.num_trees() - 1)[0])

    _change_one(
        dump, rng, lambda p: p.update(score=other(p)),
        lambda p: _is_scored(p) and other(p) != p["score"],
    )  # fmt: skip


def flip_score(dump: Dump, rng: Random) -> None:
    """The last bit of one score is flipped."""
    _change_one(dump, rng, lambda p: p.update(score=math.nextafter(p["score"], 2.0)), _is_scored)


def name_another_model(dump: Dump, rng: Random) -> None:
    """One prediction names a model that the run never had."""
    _change_one(dump, rng, lambda p: p["model"].update(sha256="0" * 64), lambda p: bool(p.get("model")))


def change_decision(dump: Dump, rng: Random) -> None:
    """One event that was let pass is decided severest."""
    mildest, severest = dump.declared.decisions[0], dump.declared.decisions[-1]
    _change_one(dump, rng, lambda p: p.update(decision=severest), lambda p: p["decision"] == mildest)


def forget_rule(dump: Dump, rng: Random) -> None:
    """One rule's answer is turned round."""

    def change(prediction: dict[str, Any]) -> None:
        rule = prediction["rules"][0]
        rule["outcome"] = "no_hit" if rule["outcome"] == "hit" else "hit"

    _change_one(dump, rng, change, lambda p: bool(p["rules"]))


def skip_letter(dump: Dump, rng: Random) -> None:
    """One dead letter is missing, with every copy of it."""
    letters = dump.topics[_letters(dump)]
    origin = origin_of(letters[_any(letters, rng)])
    dump.topics[_letters(dump)] = [record for record in letters if origin_of(record) != origin]


def extra_letter(dump: Dump, rng: Random) -> None:
    """A good event has a dead letter."""
    source = _read(dump.topics["predictions"][_any(dump.topics["predictions"], rng)])["source"]
    letters = dump.topics[_letters(dump)]
    about = {"topic": _scored(dump), "partition": source["partition"], "offset": source["offset"]}
    letters.append(_relettered(letters[_of_gate(dump, rng)], about))


def wrong_code_of_gate(dump: Dump, rng: Random) -> None:
    """One of the gate's dead letters has another code."""
    _recode(dump, _of_gate(dump, rng))


def wrong_code_of_stage(dump: Dump, rng: Random) -> None:
    """The dead letter of an id used again has another code."""
    _recode(dump, _of_stage(dump, rng))


def wrong_code_of_stranger(dump: Dump, rng: Random) -> None:
    """The dead letter of a stranger's record has another code."""
    _recode(dump, _of_stranger(dump, rng))


def changed_letter_of_gate(dump: Dump, rng: Random) -> None:
    """The bytes of one of the gate's dead letters are not the record's."""
    _reword(dump, _of_gate(dump, rng))


def changed_letter_of_stage(dump: Dump, rng: Random) -> None:
    """The bytes of the dead letter of an id used again are not the payment's."""
    _reword(dump, _of_stage(dump, rng))


def changed_letter_of_stranger(dump: Dump, rng: Random) -> None:
    """The bytes of the dead letter of a stranger's record are not the record's."""
    _reword(dump, _of_stranger(dump, rng))


def stale_row(dump: Dump, rng: Random) -> None:
    """One row of the store is as of an earlier event."""
    fields = _row(dump, rng)
    names = sorted(fields.keys() & orders_of(dump.declared))
    name = _one_of(names, rng, "no moment of a row")
    fields[name] = fields[name][:10] + b"%020d" % (int(fields[name][10:]) - 1)


def flip_bit_in_row(dump: Dump, rng: Random) -> None:
    """The last bit of one value of one row of the store is flipped."""
    judged = cells_of(dump.declared)
    known = [
        (key, name) for key, fields in sorted(dump.store.items()) for name, value in sorted(fields.items())
        if name in judged and len(value) == 9 and not math.isnan(struct.unpack("<d", value[1:])[0])
    ]  # fmt: skip
    key, name = _one_of(known, rng, "no row of the store with a value")
    value = dump.store[key][name]
    dump.store[key][name] = value[:1] + bytes([value[1] ^ 1]) + value[2:]


def lose_row(dump: Dump, rng: Random) -> None:
    """One row of the store is gone."""
    _row(dump, rng).clear()


def strange_row(dump: Dump, rng: Random) -> None:
    """The store has a row that nothing wrote."""
    dump.store[b"nobody"] = dict(_row(dump, rng))


def reorder(dump: Dump, rng: Random) -> None:
    """Two predictions of one lane have changed places."""
    predictions = dump.topics["predictions"]
    lanes: dict[tuple[int, str], list[int]] = {}
    last = dump.declared.chain[-1][0]
    for at, record in enumerate(predictions):  # one key of the last entity is one partition of features.log
        if key := _read(record)["keys"][last]:
            lanes.setdefault((record.partition, key), []).append(at)
    pairs = [(places[0], places[-1]) for places in lanes.values() if len(places) > 1]
    at, other = _one_of(pairs, rng, "no two predictions of one lane")
    first, second = predictions[at], predictions[other]
    predictions[at] = msgspec.structs.replace(second, offset=first.offset)
    predictions[other] = msgspec.structs.replace(first, offset=second.offset)


def aborted_read(dump: Dump, _rng: Random) -> None:
    """A reader saw a prediction that is not there at the end."""
    partition, offset, value = dump.seen[-1]
    dump.seen.append((partition, offset + (1 << 40), value))


def unread(dump: Dump, _rng: Random) -> None:
    """A prediction is there that a reader passed over."""
    partition, offset, _ = dump.seen[-1]
    dump.seen = [one for one in dump.seen if one[:2] != (partition, offset)]


def predict_nothing(dump: Dump, rng: Random) -> None:
    """A prediction of an event that was never sent."""
    _change_one(dump, rng, lambda p: p["source"].update(offset=1 << 40))


def hole_in_log(dump: Dump, rng: Random) -> None:
    """One record of labels is missing in features.log, of which there is no copy."""
    del dump.topics[LOG][_one_of(_alone(dump, labels=True), rng, "no labels without a copy")]


def lose_lake_row(dump: Dump, rng: Random) -> None:
    """One row of the lake is gone."""
    rows = dump.lake["features"]
    del rows[int(rng.integers(len(rows)))]


def double_lake_row(dump: Dump, rng: Random) -> None:
    """One row of the lake is there twice."""
    rows = dump.lake["predictions"]
    rows.append(rows[int(rng.integers(len(rows)))])


def flip_bit_in_answer(dump: Dump, rng: Random) -> None:
    """The last bit of one value that the HTTP API told is flipped."""
    names = {
        one["name"]: declarations.columns(declarations.entity(dump.declared, one["name"]))
        for one in dump.declared.entities
    }
    known = [
        (at, name) for at, answer in enumerate(dump.answers) for name in names[answer.entity]
        if answer.values.get(name) is not None
    ]  # fmt: skip
    at, name = _one_of(known, rng, "no answer with a value")
    answer = dump.answers[at]
    flipped = math.nextafter(answer.values[name] or 0.0, math.inf)
    dump.answers[at] = msgspec.structs.replace(answer, values={**answer.values, name: flipped})


def lose_quality(dump: Dump, rng: Random) -> None:
    """One record of the learner's is missing, although the state says that it was said."""
    records = dump.topics["quality"]
    del records[_of_kind(records, "labels", rng)]


def double_quality(dump: Dump, rng: Random) -> None:
    """One record of the learner's is there twice."""
    records = dump.topics["quality"]
    records.append(msgspec.structs.replace(records[_any(records, rng)], offset=1 << 40))


def miscount_labels(dump: Dump, rng: Random) -> None:
    """The learner counts one label too many."""
    _miscount(dump, _of_kind(dump.topics["quality"], "labels", rng), "judging")


def miscount_window(dump: Dump, rng: Random) -> None:
    """The learner counts one fraud too many in a window."""
    _miscount(dump, _of_kind(dump.topics["quality"], "matured", rng), "positives")


def forget_report(dump: Dump, _rng: Random) -> None:
    """The learner never came to report what was due last."""
    states = dump.topics["changelog.learner"]
    moments = [json.loads(record.value or b"")["memory"]["reported_ms"] for record in states]
    last_ms = max(at_ms for at_ms in moments if at_ms is not None)
    dump.topics["changelog.learner"] = [
        record for record, at_ms in zip(states, moments, strict=True) if at_ms != last_ms
    ]


def believe_stranger(dump: Dump, rng: Random) -> None:
    """A stranger's record between the stages has no dead letter: its reader may have believed it."""
    records, project = dump.topics[LOG], ProjectOracle(dump.declared)
    ends, rules = ends_of(dump, project), FrameOracle(project)
    ours = [at for at, one in enumerate(records) if rules.is_ours(one.value or b"", LOG, ends)]
    record = records[_one_of(ours, rng, "no record of features.log")]
    data = record.value or b""
    far = (1 << 62).to_bytes(8, "little")
    records.append(
        msgspec.structs.replace(
            record, offset=1 << 40, value=data[:5] + b"\x01" + data[6:9] + far * 2 + data[25:]
        )
    )


FAULTS: tuple[tuple[Change, str], ...] = (
    (drop_prediction, "lost"), (double_prediction, "duplicate"), (predict_a_repeat, "phantom"),
    (predict_nothing, "phantom"), (flip_bit, "feature_mismatch"), (flip_bit_in_log, "feature_mismatch"),
    (null_for_zero, "feature_mismatch"), (swap_model, "score_mismatch"), (flip_score, "score_mismatch"),
    (name_another_model, "score_mismatch"), (change_decision, "score_mismatch"),
    (forget_rule, "score_mismatch"), (skip_letter, "dlq_missing"), (extra_letter, "dlq_extra"),
    (wrong_code_of_gate, "dlq_extra"), (wrong_code_of_stage, "dlq_extra"),
    (wrong_code_of_stranger, "dlq_extra"), (changed_letter_of_gate, "dlq_extra"),
    (changed_letter_of_stage, "dlq_extra"), (changed_letter_of_stranger, "dlq_extra"),
    (stale_row, "store_mismatch"),
    (flip_bit_in_row, "store_mismatch"), (lose_row, "store_mismatch"), (strange_row, "store_mismatch"),
    (reorder, "order"), (aborted_read, "aborted_read"), (unread, "aborted_read"),
    (lose_lake_row, "lake_mismatch"), (double_lake_row, "lake_mismatch"),
    (hole_in_log, "lost"), (flip_bit_in_answer, "api_mismatch"), (lose_quality, "quality_lost"),
    (double_quality, "quality_duplicate"), (miscount_labels, "quality_mismatch"),
    (miscount_window, "quality_mismatch"), (forget_report, "quality_lost"), (believe_stranger, "dlq_missing"),
)  # fmt: skip


def _any(records: list[Record], rng: Random) -> int:
    return int(rng.integers(len(records)))


def _one_of(some: Sequence[Item], rng: Random, otherwise: str) -> Item:
    """Draw one.

    Raises:
        Unfit: there is none.
    """
    if not some:
        raise Unfit(f"{otherwise} in this dump")
    return some[int(rng.integers(len(some)))]


def _of_gate(dump: Dump, rng: Random) -> int:
    """Return where one of the gate's letters about payments is."""
    return _letter(dump, rng, "of the gate", lambda one: header(one, "stage") == "gate")


def _of_stage(dump: Dump, rng: Random) -> int:
    """Return where the letter of an id that was used again is."""
    return _letter(dump, rng, CONFLICT, lambda one: header(one, "code") == CONFLICT)


def _of_stranger(dump: Dump, rng: Random) -> int:
    """Return where the letter of a stranger's record between the stages is."""
    lanes = between(dump)
    return _letter(dump, rng, "of a stranger's record", lambda one: header(one, "topic") in lanes)


def _letter(dump: Dump, rng: Random, what: str, fits: Callable[[Record], bool]) -> int:
    letters = dump.topics[_letters(dump)]
    return _one_of([at for at, one in enumerate(letters) if fits(one)], rng, f"no letter {what}")


def _recode(dump: Dump, at: int) -> None:
    letters = dump.topics[_letters(dump)]
    letters[at] = _relettered(letters[at], {"code": "E_DECODE_WEATHER"})


def _reword(dump: Dump, at: int) -> None:
    letters = dump.topics[_letters(dump)]
    letters[at] = msgspec.structs.replace(letters[at], value=(letters[at].value or b"") + b" ")


def _cells_where(
    dump: Dump, fits: Callable[[float | None], bool]
) -> Callable[[dict[str, Any]], list[int]]:  # fmt: skip
    """Return a function that says which values of a prediction's vector fit, of those that are recomputed."""
    judged = [
        at for at, column in enumerate(dump.declared.columns) if column not in dump.declared.profile
    ]  # fmt: skip
    return lambda prediction: [at for at in judged if fits(prediction["features"]["values"][at])]


def _is_scored(prediction: dict[str, Any]) -> bool:
    return prediction.get("score") is not None


def _scored(dump: Dump) -> str:
    """Return the topic of the scored source."""
    return ProjectOracle(dump.declared).scored.topic


def _letters(dump: Dump) -> str:
    """Return the topic of its dead letters."""
    return ProjectOracle(dump.declared).scored.dead_letters


def between(dump: Dump) -> set[str]:
    """Return the topics between the stages."""
    return {LOG, *(f"events.{name}" for name, _ in dump.declared.chain)}


def _alone(dump: Dump, *, labels: bool) -> list[int]:
    """Return where the records of labels in features.log are, or of scored events, that have no copy."""
    project = ProjectOracle(dump.declared)
    kinds = [
        source.number for source in project.sources if (source.is_labels if labels else source.is_scored)
    ]
    records, ends, rules = dump.topics[LOG], ends_of(dump, project), FrameOracle(project)
    there: Counter[tuple[int, str, int]] = Counter()
    found: dict[int, list[tuple[int, str, int]]] = {}
    for at, record in enumerate(records):
        if not rules.is_ours(record.value or b"", LOG, ends):
            continue
        frame = read_frame(record.value or b"")
        places = [(record.partition, frame.src, row["pos"]) for row in frame.rows]
        there.update(places)
        if frame.kind in kinds and places:
            found[at] = places
    return [at for at, places in found.items() if all(there[one] == 1 for one in places)]


def _known_values(data: bytes, column: str) -> list[int]:
    """Return which of a frame's values in a column are no null, counted over its rows."""
    values = [value for row in read_frame(data).rows for value in row[column]]
    return [at for at, value in enumerate(values) if not math.isnan(value)]


def _of_kind(records: list[Record], kind: str, rng: Random) -> int:
    """Return where one record of the learner's of a kind is; of windows, one over all decisions."""
    found = [
        at for at, record in enumerate(records)
        if _read(record)["kind"] == kind and not _read(record).get("model")
    ]  # fmt: skip
    return _one_of(found, rng, f"no {kind} of the learner's")


def _miscount(dump: Dump, at: int, name: str) -> None:
    record = dump.topics["quality"][at]
    told = _read(record)
    told["counts"][name] += 1
    dump.topics["quality"][at] = msgspec.structs.replace(record, value=json.dumps(told).encode())


def _read(record: Record) -> dict[str, Any]:
    prediction: dict[str, Any] = json.loads(record.value or b"")
    return prediction


def _append(dump: Dump, record: Record) -> None:
    """Add a prediction that readers saw as well."""
    dump.topics["predictions"].append(record)
    dump.seen.append((record.partition, record.offset, record.value or b""))


def _change_one(
    dump: Dump, rng: Random, change: Callable[[dict[str, Any]], Any],
    fits: Callable[[dict[str, Any]], bool] = lambda _: True,
) -> None:  # fmt: skip
    """Change the content of one prediction that fits, as its readers saw it too."""
    predictions = dump.topics["predictions"]
    fitting = (i for i in rng.permutation(len(predictions)).tolist() if fits(_read(predictions[i])))
    at = next(fitting, None)
    if at is None:
        raise Unfit("no prediction of the kind in this dump")
    before = predictions[at]
    prediction = _read(before)
    change(prediction)
    after = predictions[at] = msgspec.structs.replace(before, value=json.dumps(prediction).encode())
    seen = dump.seen.index((before.partition, before.offset, before.value or b""))
    dump.seen[seen] = (after.partition, after.offset, after.value or b"")


def _row(dump: Dump, rng: Random) -> dict[bytes, bytes]:
    keys = sorted(key for key in dump.store if not key.startswith(b"headrace:"))
    return dump.store[_one_of(keys, rng, "no row of the store")]


def _relettered(record: Record, about: dict[str, Any]) -> Record:
    changed = {f"headrace.dlq.{name}": str(value).encode() for name, value in about.items()}
    headers = [(name, changed.get(name, value)) for name, value in record.headers]
    return msgspec.structs.replace(record, headers=headers)


def _begin_of(data: bytes, column: str) -> int:
    """Return where a column of a frame begins."""
    src_bytes, schema_bytes, rows = data[6], int.from_bytes(data[7:9], "little"), data[25:29]
    at = 29 + src_bytes
    schema = data[at : at + schema_bytes].decode()
    at += schema_bytes
    for part in schema.split(";"):
        name, _, kind = part.partition(":")
        if name == column:
            return at
        width, _, dtype = kind.rpartition("*")
        at += int.from_bytes(rows, "little") * int(width or 1) * np.dtype(dtype).itemsize
    raise KeyError(column)
