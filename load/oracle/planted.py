"""Faults planted in a dump, one at a time: an oracle that does not find each of them proves nothing.

Each is a function that changes a copy of a sound dump, and names the count that must rise.
"""

import json
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import lightgbm
import msgspec
import numpy as np

from load.oracle.dump import Dump, Record
from load.oracle.judge import expect, judge

Random = np.random.Generator
Change = Callable[[Dump, Random], None]


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
    """Plant each fault in a copy of its own and judge it; the dump must be sound."""
    expected = expect(dump)
    for number, (change, name) in enumerate(FAULTS):
        copy = dump.copy()
        change(copy, np.random.default_rng([seed, number]))
        counts = {key: count for key, count in judge(copy, expected).counts.items() if count or key == name}
        yield Planted((change.__doc__ or "").strip().rstrip("."), name, counts)


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
    """A repeated payment is predicted as if it were new."""
    predicted = {
        (p["partition"], p["offset"]) for p in (_read(r)["source"] for r in dump.topics["predictions"])
    }
    lettered = {_origin(record) for record in dump.topics["transactions.dlq"]}
    silent = [
        (r.partition, r.offset) for r in dump.topics["transactions"]
        if (r.partition, r.offset) not in predicted and (r.partition, r.offset) not in lettered
    ]  # fmt: skip
    partition, offset = silent[int(rng.integers(len(silent)))]
    record = dump.topics["predictions"][0]
    prediction = _read(record)
    prediction["source"] |= {"partition": partition, "offset": offset}
    _append(dump, msgspec.structs.replace(record, offset=1 << 40, value=json.dumps(prediction).encode()))


def flip_bit(dump: Dump, rng: Random) -> None:
    """The last bit of one value of one prediction's vector is flipped."""

    def change(prediction: dict[str, Any]) -> None:
        values = prediction["features"]["values"]
        known = [at for at, value in enumerate(values) if value is not None]
        at = known[int(rng.integers(len(known)))]
        values[at] = math.nextafter(values[at], math.inf)

    _change_one(dump, rng, change)


def flip_bit_in_log(dump: Dump, rng: Random) -> None:
    """The last bit of one customer value in features.log is flipped."""
    log = dump.topics["features.log"]
    at = next(i for i in rng.permutation(len(log)).tolist() if b"customer_values" in (log[i].value or b""))
    data = bytearray(log[at].value or b"")
    data[_begin_of(bytes(data), "customer_values")] ^= 1
    log[at] = msgspec.structs.replace(log[at], value=bytes(data))


def null_for_zero(dump: Dump, rng: Random) -> None:
    """A value of 0 is told as null."""

    def change(prediction: dict[str, Any]) -> None:
        values = prediction["features"]["values"]
        values[values.index(0.0)] = None

    _change_one(dump, rng, change)


def swap_model(dump: Dump, rng: Random) -> None:
    """One score is another model's, which knows one tree less."""

    def change(prediction: dict[str, Any]) -> None:
        booster = lightgbm.Booster(model_str=dump.models[prediction["model"]["sha256"]].text)
        row = np.array([[np.nan if v is None else v for v in prediction["features"]["values"]]])
        prediction["score"] = float(booster.predict(row, num_iteration=booster.num_trees() - 1)[0])

    _change_one(dump, rng, change)


def flip_score(dump: Dump, rng: Random) -> None:
    """The last bit of one score is flipped."""
    _change_one(dump, rng, lambda p: p.update(score=math.nextafter(p["score"], 1.0)))


def name_another_model(dump: Dump, rng: Random) -> None:
    """One prediction names a model that the run never had."""
    _change_one(dump, rng, lambda p: p["model"].update(sha256="0" * 64))


def change_decision(dump: Dump, rng: Random) -> None:
    """One approved payment is declined."""
    _change_one(dump, rng, lambda p: p.update(decision="decline"), lambda p: p["decision"] == "approve")


def forget_rule(dump: Dump, rng: Random) -> None:
    """One rule's answer is turned round."""

    def change(prediction: dict[str, Any]) -> None:
        rule = prediction["rules"][0]
        rule["outcome"] = "no_hit" if rule["outcome"] == "hit" else "hit"

    _change_one(dump, rng, change)


def skip_letter(dump: Dump, rng: Random) -> None:
    """One dead letter is missing, with every copy of it."""
    letters = dump.topics["transactions.dlq"]
    origin = _origin(letters[_any(letters, rng)])
    dump.topics["transactions.dlq"] = [record for record in letters if _origin(record) != origin]


def extra_letter(dump: Dump, rng: Random) -> None:
    """A good payment has a dead letter."""
    source = _read(dump.topics["predictions"][_any(dump.topics["predictions"], rng)])["source"]
    letters = dump.topics["transactions.dlq"]
    about = {"partition": source["partition"], "offset": source["offset"]}
    letters.append(_relettered(letters[0], about))


def wrong_code(dump: Dump, rng: Random) -> None:
    """One dead letter has another code."""
    letters = dump.topics["transactions.dlq"]
    at = _any(letters, rng)
    letters[at] = _relettered(letters[at], {"code": "E_DECODE_WEATHER"})


def changed_letter(dump: Dump, rng: Random) -> None:
    """One dead letter's bytes are not the record's."""
    letters = dump.topics["transactions.dlq"]
    at = next(i for i in rng.permutation(len(letters)).tolist() if _header(letters[i], "stage") == "gate")
    letters[at] = msgspec.structs.replace(letters[at], value=(letters[at].value or b"") + b" ")


def stale_row(dump: Dump, rng: Random) -> None:
    """One row of the store is as of an earlier event."""
    fields = _row(dump, rng)
    for name, value in fields.items():
        if name.startswith(b"_o:"):
            fields[name] = value[:10] + b"%020d" % (int(value[10:]) - 1)


def flip_bit_in_row(dump: Dump, rng: Random) -> None:
    """The last bit of one value of one row of the store is flipped."""
    fields = _row(dump, rng)
    name = next(name for name, value in fields.items() if len(name) == 4 and value[1:] != b"\0" * 8)
    fields[name] = fields[name][:1] + bytes([fields[name][1] ^ 1]) + fields[name][2:]


def lose_row(dump: Dump, rng: Random) -> None:
    """One row of the store is gone."""
    _row(dump, rng).clear()


def strange_row(dump: Dump, rng: Random) -> None:
    """The store has a row that nothing wrote."""
    dump.store[b"nobody"] = dict(_row(dump, rng))


def reorder(dump: Dump, rng: Random) -> None:
    """Two predictions of one lane have changed places."""
    predictions = dump.topics["predictions"]
    at = int(rng.integers(len(predictions) // 2))
    terminal = _read(predictions[at])["terminal_id"]  # one terminal is one partition of features.log
    other = next(
        i for i in range(at + 1, len(predictions))
        if _read(predictions[i])["terminal_id"] == terminal
        and predictions[i].partition == predictions[at].partition
    )  # fmt: skip
    first, second = predictions[at], predictions[other]
    predictions[at] = msgspec.structs.replace(second, offset=first.offset)
    predictions[other] = msgspec.structs.replace(first, offset=second.offset)


def aborted_read(dump: Dump, _rng: Random) -> None:
    """A reader saw a prediction that is not there at the end."""
    partition, offset, value = dump.seen[-1]
    dump.seen.append((partition, offset + (1 << 40), value))


def unread(dump: Dump, _rng: Random) -> None:
    """A prediction is there that a reader passed over."""
    dump.seen.pop()


def predict_nothing(dump: Dump, rng: Random) -> None:
    """A prediction of a payment that was never sent."""
    _change_one(dump, rng, lambda p: p["source"].update(offset=1 << 40))


def hole_in_log(dump: Dump, rng: Random) -> None:
    """One record of features.log is missing."""
    del dump.topics["features.log"][_any(dump.topics["features.log"], rng)]


def lose_lake_row(dump: Dump, rng: Random) -> None:
    """One row of the lake is gone."""
    rows = dump.lake["features"]
    del rows[int(rng.integers(len(rows)))]


def double_lake_row(dump: Dump, rng: Random) -> None:
    """One row of the lake is there twice."""
    rows = dump.lake["predictions"]
    rows.append(rows[int(rng.integers(len(rows)))])


FAULTS: tuple[tuple[Change, str], ...] = (
    (drop_prediction, "lost"), (double_prediction, "duplicate"), (predict_a_repeat, "phantom"),
    (predict_nothing, "phantom"), (flip_bit, "feature_mismatch"), (flip_bit_in_log, "feature_mismatch"),
    (null_for_zero, "feature_mismatch"), (swap_model, "score_mismatch"), (flip_score, "score_mismatch"),
    (name_another_model, "score_mismatch"), (change_decision, "score_mismatch"),
    (forget_rule, "score_mismatch"), (skip_letter, "dlq_missing"), (extra_letter, "dlq_extra"),
    (wrong_code, "dlq_extra"), (changed_letter, "dlq_extra"), (stale_row, "store_mismatch"),
    (flip_bit_in_row, "store_mismatch"), (lose_row, "store_mismatch"), (strange_row, "store_mismatch"),
    (reorder, "order"), (aborted_read, "aborted_read"), (unread, "aborted_read"),
    (lose_lake_row, "lake_mismatch"), (double_lake_row, "lake_mismatch"),
    (hole_in_log, "lost"),
)  # fmt: skip


def _any(records: list[Record], rng: Random) -> int:
    return int(rng.integers(len(records)))


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
    """Change the content of one prediction, as its readers saw it too."""
    predictions = dump.topics["predictions"]
    at = next(i for i in rng.permutation(len(predictions)).tolist() if fits(_read(predictions[i])))
    before = predictions[at]
    prediction = _read(before)
    change(prediction)
    after = predictions[at] = msgspec.structs.replace(before, value=json.dumps(prediction).encode())
    seen = dump.seen.index((before.partition, before.offset, before.value or b""))
    dump.seen[seen] = (after.partition, after.offset, after.value or b"")


def _row(dump: Dump, rng: Random) -> dict[bytes, bytes]:
    keys = sorted(key for key in dump.store if not key.startswith(b"headrace:"))
    return dump.store[keys[int(rng.integers(len(keys)))]]


def _header(record: Record, name: str) -> str:
    facts = dict(record.headers)
    return (facts.get(f"headrace.dlq.{name}") or b"").decode()


def _origin(record: Record) -> tuple[int, int]:
    return int(_header(record, "partition")), int(_header(record, "offset"))


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
