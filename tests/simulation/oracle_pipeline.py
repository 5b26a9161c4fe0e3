"""The whole pipeline judged from what is durable: no code of the service, one plain pass a topic.

From the raw topics it knows which payments and labels count; from the durable order of the inter-stage
topics, every as-of value; from those, every prediction, final state and stored row. It returns sentences
about what is wrong, none when all is right.
"""

import json
import math
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from load.chaos.collect import declared
from load.oracle.frames import (
    LABEL,
    PAYMENT,
    ROW_BITS,
    LaneReader,
    Placed,
    read_frame,
)
from load.oracle.sources import ProjectOracle
from load.oracle.strangers import FrameOracle
from load.oracle.verdict import code_of
from load.oracle.windows import PartitionOracle
from load.this_project import PROJECT

ORACLE = ProjectOracle(declared(PROJECT, 1, 1))
RULES = FrameOracle(ORACLE)
LANES = RULES.lanes
DAY_MS = 86_400_000
NEVER = -(2**63)
Origin = tuple[str, int, int]  # raw topic, partition, offset
Raw = tuple[bytes | None, bytes | None, int]  # key, value, timestamp
Letter = tuple[bytes | None, bytes | None, dict[str, str]]  # key, value, headers
CONTENT = (
    "transaction_id", "event_time", "customer_id", "terminal_id", "amount_minor", "currency", "channel",
    "country",
)  # fmt: skip


class KeyState(NamedTuple):
    """The newest answer of one key: its values, the position it is as of, and the time."""

    values: list[float]
    position: int
    time_ms: int


class Durable(NamedTuple):
    """What a run left behind; logs by partition, without what was aborted."""

    raw: Mapping[tuple[str, int], Sequence[Raw]]
    frames: Mapping[tuple[str, int], Sequence[bytes]]
    letters: Mapping[tuple[str, int], Sequence[Letter]]
    predictions: Sequence[bytes]
    states: Mapping[tuple[str, bytes], KeyState]
    store: Mapping[tuple[str, bytes], KeyState]


class Judge:
    """One judgement.

    Args:
        entities: the declarations of `customer` and `terminal`.
        columns: the names of the vector's values in a prediction.
        score: the model, written anew: from the vector to the score.
    """

    def __init__(
        self,
        durable: Durable,
        entities: Mapping[str, Any],
        columns: Sequence[str],
        score: Callable[[Sequence[float]], float],
    ) -> None:
        self.durable, self.entities, self.columns, self.score = durable, entities, columns, score
        self.wrong: list[str] = []
        self.accepted: dict[Origin, dict[str, Any]] = {}
        self.letters_due: dict[Origin, str] = {}
        self.repeats: set[Origin] = set()
        self.customer_rows: dict[Origin, KeyState] = {}
        self.terminal_rows: dict[Origin, KeyState] = {}
        self.latest: dict[tuple[str, bytes], KeyState] = {}
        self.idle: set[tuple[str, bytes]] = set()

    def judge(self) -> list[str]:
        """Return what is wrong."""
        self._judge_raw()
        for number, log in self._logs("events.customer"):
            self._judge_events(number, log)
        self._once("events.customer", PAYMENT, [o for o in self.accepted if o[0] == "transactions"])
        self._once("events.customer", LABEL, [o for o in self.accepted if o[0] == "labels"])
        for number, log in self._logs("events.terminal"):
            self._judge_payments(number, log)
        for kind, name in ((PAYMENT, "transactions"), (LABEL, "labels")):
            self._once("events.terminal", kind, [o for o in self.customer_rows if o[0] == name])
        self._judge_features()
        self._judge_letters()
        self._judge_predictions()
        self._judge_latest("state", self.durable.states)
        self._judge_latest("store", self.durable.store)
        return self.wrong

    # what counts
    def _judge_raw(self) -> None:
        for (topic, number), log in self.durable.raw.items():
            for offset, (key, value, timestamp_ms) in enumerate(log):
                origin = (topic, number, offset)
                code = code_of(topic, timestamp_ms, key, value, {"EUR": True, "USD": False})
                if code:
                    self.letters_due[origin] = code
                else:
                    self.accepted[origin] = json.loads(value or b"") | {"appended_ms": timestamp_ms}

    def _logs(self, topic: str) -> list[tuple[int, Sequence[bytes]]]:
        """Return the logs of a topic by partition; a stranger's record is b"", so that offsets stay."""
        ends = {f"{name}/{number}": len(log) for (name, number), log in self.durable.raw.items()}
        ends |= {f"{name}/{number}": len(log) for (name, number), log in self.durable.frames.items()}
        return sorted(
            (number, [data if RULES.is_ours(data, topic, ends) else b"" for data in log])
            for (name, number), log in self.durable.frames.items()
            if name == topic
        )

    def _once(self, topic: str, kind: int, due: Sequence[Origin]) -> None:
        """Every row that is due is taken once from the topic, and no other."""
        found = Counter(
            _origin(kind, placed.row)
            for _, log in self._logs(topic)
            for placed in LaneReader().fold(_ours(log))
            if placed.kind == kind
        )
        for origin, count in (found - Counter(due)).items():
            self.wrong.append(f"{topic}: {origin} {count} times too often")
        for origin in Counter(due) - found:
            self.wrong.append(f"{topic}: {origin} is missing")

    # events.customer: the gate's rows, repeats and the customer's windows
    def _judge_events(self, partition: int, log: Sequence[bytes]) -> None:
        seen, keys = dict[tuple[bytes, bytes], tuple[Any, int]](), PartitionOracle(self.entities["customer"])
        before: dict[str, int] = {}
        for placed in LaneReader().fold(_ours(log)):
            row, origin = placed.row, _origin(placed.kind, placed.row)
            self._same_content(origin, row)
            if before.get(placed.src, -1) >= row["pos"]:
                self.wrong.append(f"events.customer/{partition}: {origin} out of order")
            before[placed.src] = row["pos"]
            if placed.kind == LABEL:  # no view of a customer reads labels: they pass without values
                self.customer_rows[origin] = KeyState([], placed.pos, NEVER)
                continue
            clock_ms = NEVER if keys.clock.now_ms is None else keys.clock.now_ms
            content = tuple(row[name] for name in CONTENT)
            name = row["customer_id"], row["transaction_id"]
            known = seen.get(name)
            if known is not None and clock_ms - known[1] <= ORACLE.scored.horizon_ms:
                self._repeat(origin, same=known[0] == content)
                continue
            seen[name] = (content, max(clock_ms, row["event_time"]))
            self.customer_rows[origin] = self._fold("customer", keys, PAYMENT, placed)
        self._note_idle("customer", keys)

    def _repeat(self, origin: Origin, *, same: bool) -> None:
        if same:
            self.repeats.add(origin)
        else:
            self.letters_due[origin] = "E_DUP_CONFLICT"

    def _same_content(self, origin: Origin, row: Mapping[str, Any]) -> None:
        due = self.accepted.get(origin)
        if due is None:
            self.wrong.append(f"{origin} was not to be accepted")
            return
        for name in (*CONTENT, "appended_ms", "label", "positive", "label_time", "source"):
            if name in row:
                value = due.get("label" if name == "positive" else name, "")
                value = value.encode() if isinstance(value, str) else value
                if name == "positive":
                    value = int(value == b"fraud")
                if row[name] != value:
                    self.wrong.append(f"{origin} has {name} {row[name]!r}, not {value!r}")

    def _fold(self, entity: str, keys: PartitionOracle, kind: int, placed: Placed) -> KeyState:
        key = placed.row[f"{entity}_id"]
        values = keys.row(kind, placed.row)
        oracle = keys.keys[key]
        assert oracle.newest_ms is not None
        state = KeyState(values, placed.pos, oracle.newest_ms)
        self.latest[entity, key] = state
        return state

    # events.terminal: the customer's answers, and the terminal's windows
    def _judge_payments(self, partition: int, log: Sequence[bytes]) -> None:
        for _, data in _ours(log):  # every copy, taken or not, has the same bits
            frame = read_frame(data)
            for row in frame.rows:
                self._same_answer("customer", row, self.customer_rows)
        keys = PartitionOracle(self.entities["terminal"])
        for placed in LaneReader().fold(_ours(log)):
            origin = _origin(placed.kind, placed.row)
            self._same_content(origin, placed.row)
            self.terminal_rows[origin] = self._fold("terminal", keys, placed.kind, placed)
        self._note_idle("terminal", keys)

    def _note_idle(self, entity: str, keys: PartitionOracle) -> None:
        """Keys without a row for longer than any window: state forgets them, a refill leaves them out."""
        self.idle |= {(entity, key) for key in keys.keys if keys.is_idle(key)}

    def _same_answer(self, entity: str, row: Mapping[str, Any], due: Mapping[Origin, KeyState]) -> None:
        kind = LABEL if "label" in row else PAYMENT
        state = due.get(_origin(kind, row))
        if state is None:
            self.wrong.append(f"{_origin(kind, row)} has {entity} values that nobody asked for")
            return
        values = row.get(f"{entity}_values", [])
        if row[f"{entity}_pos"] != state.position or not same_bits(values, state.values):
            what = f"as of {row[f'{entity}_pos']}, not {state.position}"
            self.wrong.append(f"{_origin(kind, row)} has other {entity} values ({what})")

    # features.log
    def _judge_features(self) -> None:
        for number, log in self._logs("features.log"):
            for _, data in _ours(log):
                for row in read_frame(data).rows:
                    self._same_answer("terminal", row, self.terminal_rows)
            order = [placed.row["terminal_pos"] for placed in LaneReader().fold(_ours(log))]
            if order != sorted(order):
                self.wrong.append(f"features.log/{number}: out of order")
        payments = [o for o in self.terminal_rows if o[0] == "transactions"]
        self._once("features.log", PAYMENT, payments)
        self._once("features.log", LABEL, [o for o in self.terminal_rows if o[0] == "labels"])

    # dead letters
    def _judge_letters(self) -> None:
        found: Counter[Origin] = Counter()
        for (topic, number), log in self.durable.letters.items():
            kept = [letter for letter in log if letter[2]["topic"] not in LANES]
            for key, value, facts in taken_letters(kept):
                origin = (facts["topic"], int(facts["partition"]), int(facts["offset"]))
                found[origin] += 1
                if self.letters_due.get(origin) != facts["code"]:
                    self.wrong.append(f"{topic}/{number}: {origin} is dead by {facts['code']}")
                raw = self.durable.raw[origin[0], origin[1]][origin[2]]
                if facts["stage"] == "gate" and (key, value) != raw[:2]:
                    self.wrong.append(f"{topic}/{number}: the letter of {origin} has other bytes")
        self._judge_refused_frames()
        due = Counter(list(self.letters_due))
        if found != due:
            more, less = found - due, due - found
            self.wrong.append(f"dead letters too many {sorted(more)}, missing {sorted(less)}")

    def _judge_refused_frames(self) -> None:
        """Each record between the stages that is no stage's has a letter with its bytes, no other has one."""
        letters = [
            letter for log in self.durable.letters.values() for letter in log if letter[2]["topic"] in LANES
        ]
        found = {(f["topic"], int(f["partition"]), int(f["offset"])): value for _, value, f in letters}
        due = {
            (topic, number, offset): self.durable.frames[topic, number][offset]
            for topic in LANES
            for number, log in self._logs(topic)
            for offset, data in enumerate(log)
            if not data
        }
        if found != due:
            self.wrong.append(f"refused frames have letters {sorted(found)}, due are {sorted(due)}")

    # predictions
    def _judge_predictions(self) -> None:
        found: Counter[Origin] = Counter()
        for data in self.durable.predictions:
            said = json.loads(data)
            origin = ("transactions", said["source"]["partition"], said["source"]["offset"])
            found[origin] += 1
            if origin in self.customer_rows and origin in self.terminal_rows:
                self._judge_prediction(origin, said)
        scored = [origin for origin in self.customer_rows if origin[0] == "transactions"]
        for origin in scored:
            if found[origin] != 1:
                self.wrong.append(f"{origin} has {found[origin]} predictions")
        for origin in found - Counter(scored):
            self.wrong.append(f"{origin} has a prediction that is not due")
        transactions = sum(
            len(log) for (topic, _), log in self.durable.raw.items() if topic == "transactions"
        )
        dead = sum(origin[0] == "transactions" for origin in self.letters_due)
        if transactions != len(self.durable.predictions) + dead + len(self.repeats):
            self.wrong.append("raw is not predictions, dead letters and repeats")

    def _judge_prediction(self, origin: Origin, said: Mapping[str, Any]) -> None:
        values = [math.nan if value is None else float(value) for value in said["features"]["values"]]
        due = self._vector(origin)
        for name, value, right in zip(self.columns, values, due, strict=True):
            if not same_bits([value], [right]):
                self.wrong.append(f"prediction of {origin}: {name} is {value}, not {right}")
        if said.get("score") != self.score(values):
            self.wrong.append(f"prediction of {origin}: its score is not its vector's")
        event = self.accepted[origin]
        keys = {"customer": event["customer_id"], "terminal": event["terminal_id"]}
        if (said["event_id"], said["keys"]) != (event["transaction_id"], keys):
            self.wrong.append(f"prediction of {origin} names another event")

    def _vector(self, origin: Origin) -> list[float]:
        """Return the vector by its written meaning; the profile is nobody's here."""
        event = self.accepted[origin]
        amount, at_ms = float(event["amount_minor"]), event["event_time"]
        named = dict(zip(self.entities["customer"].columns, self.customer_rows[origin].values, strict=True))
        named |= zip(self.entities["terminal"].columns, self.terminal_rows[origin].values, strict=True)
        hour, day = at_ms // 3_600_000 % 24, (at_ms // DAY_MS + 3) % 7
        named |= {"amount_minor": amount, "hour_of_day": float(hour)}
        named |= {"is_night": float(hour < 6), "is_weekend": float(day >= 5)}
        mean, std = named["customer_amount_mean_30d_before"], named["customer_amount_std_30d_before"]
        named["customer_amount_ratio_30d"] = _ratio(amount, mean)
        named["customer_amount_zscore_30d"] = _ratio(amount - mean, std)
        named["terminal_amount_ratio_30d"] = _ratio(amount, named["terminal_amount_mean_30d"])
        for who in ("customer", "terminal"):
            often = _ratio(named[f"{who}_count_24h"] * 30.0, named[f"{who}_count_30d"])
            named[f"{who}_frequency_ratio_24h"] = often
        for days in (1, 7, 30):
            frauds = _ratio(named[f"terminal_frauds_{days}d"], named[f"terminal_labels_{days}d"])
            named[f"terminal_fraud_ratio_{days}d"] = frauds
        return [named.get(name, math.nan) for name in self.columns]

    def _judge_latest(self, what: str, found: Mapping[tuple[str, bytes], KeyState]) -> None:
        for key in sorted(set(self.latest) | set(found)):
            due, there = self.latest.get(key), found.get(key)
            if key in self.idle and there is None:
                continue
            same = due is not None and there is not None and same_bits(due.values, there.values)
            if not same or due is None or there is None or due[1:] != there[1:]:
                self.wrong.append(f"{what} of {key} is as of {there and there[1:]}, not {due and due[1:]}")


def _ours(log: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
    return ((offset, data) for offset, data in enumerate(log) if data)


def taken_letters(log: Sequence[Letter]) -> list[Letter]:
    """Return the letters of a partition as a reader of lanes takes them."""
    reached: dict[str, int] = {}
    found = []
    for letter in log:
        facts = letter[2]
        frm, to, src = int(facts["frm"]), int(facts["to"]), facts["src"]
        begin = reached.get(src, 0)
        if facts["claim"] == "1":
            begin = max(begin, frm)
        if frm > begin:
            continue
        row = to - (1 << ROW_BITS) if facts["stage"] == "gate" else to - 1
        if row >= begin:
            found.append(letter)
        reached[src] = max(begin, to)
    return found


def same_bits(left: Sequence[float], right: Sequence[float]) -> bool:
    """Return whether both hold the same bits; any null equals any other.

    >>> same_bits([0.0, math.nan], [0.0, -math.nan]), same_bits([0.0], [-0.0])
    (True, False)
    """
    return len(left) == len(right) and all(
        (math.isnan(a) and math.isnan(b)) or struct.pack("<d", a) == struct.pack("<d", b)
        for a, b in zip(left, right, strict=True)
    )


def _ratio(above: float, below: float) -> float:
    return math.nan if below == 0.0 or math.isnan(below) else above / below


def _origin(kind: int, row: Mapping[str, Any]) -> Origin:
    return ("labels" if kind == LABEL else "transactions", row["raw_partition"], row["raw_offset"])
