"""The decoders of bytes that come from outside a process, each with real inputs and what must hold of any.

`check` returns what became of an input (a code, or `value`) and raises when something does not hold: an error
that has no code, a value that a slow second reader does not find, a change where nothing may change.
"""

import ast
import json
import math
import re
import tempfile
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import numpy as np
from confluent_kafka import Message

from contracts import generate
from contracts.contract_file import contract_of
from contracts.errors import ConfigError, ContractError, HeadraceError, ModelError, StateError
from contracts.event_columns import ColumnMaker, part_of
from contracts.frame import FrameError, Kind, decode, length, position
from contracts.frame_check import CODES, POSITION_MAX, FrameReader
from contracts.hashed_fields import HashKey, HashKeys
from contracts.lanes import accept
from contracts.pipeline import SourceStream
from contracts.raw import RawBatch
from contracts.strict_verdict import Given, Rejection, judge_strictly
from contracts.suspicion import FastRows
from contracts.verdict import judge
from features import feast_format as fmt
from features.checksum import TABLES, put_sums
from features.feast_row import RowReaderCodec
from features.feast_tiles import TilesView
from features.finalise import Finaliser
from features.state import EntityState
from headrace.traffic import input_files as source
from headrace.traffic.form import forms_of
from headrace.traffic.input_files import LineRecords, open_records
from inference.learning.core import LearnerCore
from inference.learning.rows import SeriesNumbers, read_predictions
from inference.models.manifest import Manifest
from inference.models.text import check_model_text
from inference.policy.policy import policy_of
from inference.review.queue import queue
from load.oracle.frames import read_frame
from load.this_project import CUSTOMER, PIPELINE, PROJECT, SERVICE, TERMINAL
from runtime.redis_reply import DEPTH_MAX, ITEMS_MAX, WAITING, ErrorReply, MalformedReplyError, ReplyReader
from streams.archive.rows import DLQ_PREFIX, DeadLetterRows
from streams.gate.dead_letters import letter_of
from streams.stage.changelog import marker_of
from streams.stage.core import Marker, StageCore
from streams.stage.deduplication import Arrivals, Deduplication, chunks_of
from tests.fuzz import reference
from tests.stages import customer_rows, terminal_rows
from tests.unit.streams.payments import events, gate_log, label_rows

AT_MS = 1_700_000_000_100
STATE_CODES = ("E_STATE_BYTES", "E_STATE_CHECKSUM", "E_STATE_DEFINITIONS", "E_STATE_FORM")
HERE = Path("fuzz")
LOGINS = contract_of(
    Path(__file__).resolve().parents[2] / "examples" / "logins" / "contracts" / "logins.yaml"
)
SECRETS = HashKeys((HashKey(version=1, from_ms=0, secret=b"fuzz" * 4),))
SOURCES = {
    **PIPELINE.by_topic,
    "logins": SourceStream(
        number=1, name="logins", role="scored", versions=(LOGINS,), time="at", ids=LOGINS.id_fields,
        hashed=frozenset(["ip"]),
    ),
}  # fmt: skip


class Decoder:
    """One decoder: real inputs, and what must hold of an input."""

    seeds: Sequence[bytes] = ()

    def check(self, data: bytes) -> str:
        """Return what became of an input."""
        raise NotImplementedError


class EventJson(Decoder):
    """The gate's judgement: both paths agree, whoever stands beside the record."""

    def __init__(self, topic: str) -> None:
        source = SOURCES[topic]
        payment = {
            "transaction_id": "t1", "event_time": 1_700_000_000_000, "customer_id": "c1", "terminal_id": "m1",
            "amount_minor": 100, "currency": "EUR", "channel": "pos", "country": "FR", "email": "a@b.c",
        }  # fmt: skip
        label = {
            "transaction_id": "t1", "event_time": 1_600_000_000_000, "customer_id": "c1", "terminal_id": "m1",
            "label": "fraud", "label_time": 1_600_000_000_001, "source": "chargeback",
        }  # fmt: skip
        login = {
            "login_id": "l1", "at": "2023-11-14T22:13:19.5Z", "account": {"id": "a1"}, "result": "ok",
            "client": {"device_id": "d", "ip": "192.0.2.7", "channel": "web", "more": {"x": [1.5]}},
        }  # fmt: skip
        good: dict[str, Any] = {"transactions": payment, "labels": label, "logins": login}[topic]
        key = good.get(source.versions[-1].key_field, "any")
        odd = good | {"customer_id": "Ж\u0001", "more": [1, {"a": None}]}
        self.source = source
        self.good = json.dumps(good).encode()
        self.key = str(key).encode()
        self.seeds = [self.record(self.key, value) for value in (
            self.good, json.dumps(good, indent=1).encode(), json.dumps(odd).encode(),
            json.dumps(odd, ensure_ascii=False).encode(),
        )]  # fmt: skip

    @staticmethod
    def record(key: bytes, value: bytes) -> bytes:
        """Return key and value as one input: the key's length comes first."""
        return bytes([len(key)]) + key + value

    def check(self, data: bytes) -> str:
        key, value = data[1 : 1 + data[0]] if data else b"", data[1 + data[0] :] if data else b""
        source, versions = self.source, self.source.versions
        strict = judge_strictly(Given(AT_MS, key, value, None), versions[-1], versions[0], 0)
        record, neighbour = (0, 5, AT_MS, key, value, None), (0, 6, AT_MS, self.key, self.good, None)
        for batch in ([record], [record, neighbour], [neighbour, record]):
            judged, at = judge(source, RawBatch.of(batch), SECRETS), batch.index(record)
            assert (at in judged.good_index.tolist()) == (not isinstance(strict, Rejection)), strict
            assert len(judged.good_index) + len(judged.bad) == len(batch)
            assert sum(row.row != at for row in judged.bad) == 0, "the neighbour was refused"
            if isinstance(strict, Rejection):
                assert judged.bad[0].code == strict.code
            else:
                part = part_of(source, FastRows((), {}, {0}, set()), {0: strict.values})
                alone = ColumnMaker(source).columns(part, RawBatch.of([record]), [""], SECRETS)
                where = judged.good_index.tolist().index(at)
                assert {n: c[where] for n, c in judged.good.items()} == {n: c[0] for n, c in alone.items()}
        return strict.code if isinstance(strict, Rejection) else "value"


class Frames(Decoder):
    """A reader of an inter-stage topic: what is taken is what a second reader reads, in all bounds."""

    def __init__(self, topic: str, header_only: bool = False) -> None:
        rows = events(np.random.default_rng(1), 60)
        gate = gate_log(rows, 12)
        customer = StageCore("events.customer/0", customer_rows(0, 1), _start())
        payments = [
            data for at, frame in enumerate(gate) for _, data in customer.batch([(at, frame)]).records
        ]
        terminal = StageCore("events.terminal/0", terminal_rows(0, 1), _start())
        features = [
            data for at, frame in enumerate(payments) for _, data in terminal.batch([(at, frame)]).records
        ]
        self.seeds = {"events.customer": gate, "events.terminal": payments, "features.log": features}[topic]
        self.topic, self.header_only = topic, header_only
        self.reader = FrameReader(topic, PIPELINE)

    def check(self, data: bytes) -> str:
        if self.header_only:
            data = data[:60] + self.seeds[0][60:]
        lanes = {f"{next(iter(self.reader._lanes))}/0": position(3)}
        before = dict(lanes)
        try:
            frame = self.reader.read(data, lanes)
        except FrameError as error:
            return _coded(error, CODES) if lanes == before else _fail("a refused frame moved a lane")
        self._compare(data)
        rows = accept(frame, lanes, lambda _: None)
        assert length(rows) <= length(frame.rows)
        assert all(0 <= at <= POSITION_MAX for at in lanes.values())
        assert len(lanes) <= 2
        return "value"

    def _compare(self, data: bytes) -> None:
        """Read it again, slowly, and look at every row."""
        again, mine = read_frame(data), decode(data)
        assert (again.src, again.frm, again.to, again.claim, again.kind) == mine[:5]
        last = again.frm - 1
        for number, row in enumerate(again.rows):
            assert last < row["pos"] < again.to
            last = row["pos"]
            assert 0 <= row["event_time"] < 1 << 43
            assert 0 <= row.get("amount_minor", 0) <= 1 << 40
            for name in {"transaction_id", "customer_id", "terminal_id"} & row.keys():
                assert row[name].decode(), "an id"
                assert b"\0" not in row[name]
            for name, value in row.items():
                assert _same(mine.rows[name][number].tolist(), value), name


class PackedTiles(Decoder):
    """A key's tiles in Redis: as they were written, or refused."""

    def __init__(self) -> None:
        self.entities = {entity.name: Finaliser(entity) for entity in (CUSTOMER, TERMINAL)}
        self.written = {blob: entity for entity in (CUSTOMER, TERMINAL) for blob in _packed(entity)}
        self.seeds = list(self.written)
        self.now_ms = np.array([AT_MS + 86_400_000])

    def check(self, data: bytes) -> str:
        for name, finaliser in self.entities.items():
            found, until_ms = finaliser.at_until([data], self.now_ms)
            known = data in self.written and self.written[data].name == name
            assert known or not data or bool(found.unreadable[0]), f"{len(data)} bytes are believed"
            assert len(until_ms) == 1
            if found.unreadable[0]:
                assert np.isnan(found.values).all()
        return "value" if data in self.written else "refused"


class PackedState(Decoder):
    """Packed state whose checksum holds, whatever it says: bounds keep it from harm."""

    def __init__(self) -> None:
        self.seeds = [blob for entity in (CUSTOMER, TERMINAL) for blob in _packed(entity)]
        self.heads = {entity.name: _packed(entity)[0][:9] for entity in (CUSTOMER, TERMINAL)}

    def check(self, data: bytes) -> str:
        outcome = ""
        for entity in (CUSTOMER, TERMINAL):
            repaired = np.frombuffer(self.heads[entity.name] + data[9:].ljust(4, b"\0"), np.uint8).copy()
            put_sums(repaired, np.array([0]), np.array([len(repaired)]), 9, TABLES)
            state = EntityState(entity, forgets=False)
            try:
                state.load([b"k"], [repaired.tobytes()])
                keys = np.array([b"k"])
                state.at(keys, np.array([AT_MS]))
                state.valid_until_ms(keys, np.array([AT_MS]))
                outcome += "value "
            except StateError as error:
                outcome += _coded(error, STATE_CODES) + " "
        return outcome.strip()


class Chunk(Decoder):
    """Remembered transaction ids in the changelog."""

    def __init__(self) -> None:
        ids = np.array([f"t{n}".encode() for n in range(50)])
        customers = np.array([f"c{n}".encode() for n in range(50)])
        some = chunks_of(Arrivals(customers, ids, np.arange(50, dtype=np.uint64), AT_MS + np.arange(50)))
        self.seeds = list(some.values())

    def check(self, data: bytes) -> str:
        seen = Deduplication()
        try:
            seen.load({0: data}, b"")
        except StateError as error:
            return error.code
        count = int.from_bytes(data[:4], "little")
        assert len(data[4 + 16 * count :].split(b"\0")) == count
        return "value"


class Markers(Decoder):
    """A checkpoint's marker."""

    def __init__(self) -> None:
        marker = Marker(
            input_offset=7, lanes={"transactions/0": 9 << 20}, definitions_hash="00", incarnation=3
        )
        self.seeds = [msgspec.json.encode(marker), msgspec.json.encode(_start())]

    def check(self, data: bytes) -> str:
        try:
            marker = marker_of(data, "changelog.customer/0")
        except StateError as error:
            return _coded(error, ("E_STATE_MARKER",))
        said = _loads(data)
        assert (marker.input_offset, marker.lanes) == (said["input_offset"], said["lanes"])
        assert all(0 <= number < 1 << 63 for number in (marker.input_offset, *marker.lanes.values()))
        return "value"


class Resp(Decoder):
    """Replies of Redis to the stage's writer."""

    seeds = (
        b"+OK\r\n", b":7\r\n", b"$3\r\nabc\r\n", b"$-1\r\n", b"*2\r\n$1\r\na\r\n$-1\r\n", b"-ERR no such\r\n",
        b"*1\r\n*1\r\n:1\r\n", b"$20\r\nrun_id:0123456789abc\r\n",
    )  # fmt: skip

    def check(self, data: bytes) -> str:
        reader = ReplyReader()
        try:
            reader.feed(data)
            found = reader.next()
        except MalformedReplyError as error:
            return _fail(f"a reply within all bounds is refused: {error}") if _within(data) else "malformed"
        due, end = reference.resp(data, 0)
        if found is WAITING:
            assert due is reference.MORE or not _within(data), "a whole reply is waited for"
            return "waiting"
        assert _same(_plain(found), _plain(due)), (found, due)
        assert reader.is_empty == (end == len(data))
        return "value"


class RedisRow(Decoder):
    """Rows of the online store as the scorer reads them."""

    def __init__(self) -> None:
        self.codec = RowReaderCodec(
            "hr", "customer_id", [("payments", ("count", "sum"))], TilesView.of(CUSTOMER)
        )
        stamp, time = (
            fmt.stamps(np.array([7]), 1)[0].tobytes(),
            fmt.timestamps(np.array([AT_MS]))[0].tobytes(),
        )
        double = bytes([fmt.DOUBLE_TAG]) + np.array([2.5]).tobytes()
        cells: list[bytes | None] = [
            double,
            b"\x20\x07",
            b"\x20\x81\x01",
            time,
            time,
            stamp,
            stamp,
            b"\x0a\x03abc",
        ]
        missing: list[bytes | None] = [None] * 8
        rows = [cells, [*cells[:1], b"", *cells[2:]], missing]
        self.seeds = [b"".join(map(_row, pair)) for pair in ([rows[0], rows[2]], [rows[1], rows[0]])]
        self.seeds.append(b"-ERR no\r\n" + _row(cells))

    def check(self, data: bytes) -> str:
        try:
            found = self.codec.decode(data, 2)
        except ContractError as error:
            return _coded(error, ("E_STORE_REPLY",))
        if found is None:
            return "waiting"
        at = 0
        for row in range(2):
            said, at = reference.resp(data, at)
            assert said is not reference.MORE
            assert said is not reference.MALFORMED
            if isinstance(said, reference.Error):
                assert found.failed[row]
                continue
            self._compare(found, row, said)
        assert at == len(data)
        return "failed row" if found.failed.any() else "value"

    def _compare(self, found: Any, row: int, said: list[bytes | None]) -> None:
        try:
            values = [math.nan if cell is None else reference.value(cell) for cell in said[:3]]
            times = [-1 if cell is None else reference.timestamp_ms(cell) for cell in said[3:5]]
            packed = b"" if said[7] is None else reference.blob(said[7])
        except ValueError:
            assert found.failed[row], said
            return
        if found.failed[row]:  # stamps: 30 digits
            assert any(cell is not None and (len(cell) != 30 or not cell.isdigit()) for cell in said[5:7])
            return
        assert _same(found.values[row].tolist(), values[:2])
        assert found.event_time_ms[row].tolist() == times
        assert found.packed[row] == packed


class Predictions(Decoder):
    """Records of `predictions` as the learner reads them: a bad one leaves its neighbours as they are."""

    def __init__(self) -> None:
        said: dict[str, Any] = {
            "event_id": "t1", "keys": {"customer": "c1", "terminal": "m1"}, "event_time": AT_MS,
            "decision": "approve", "score": 0.25, "source": {"partition": 0, "offset": 7},
            "model": {"name": "fraud", "version": "1", "stage": "champion"},
            "shadow": [{"model": "fraud/2", "score": 0.5}],
        }  # fmt: skip
        self.seeds = [json.dumps(said).encode(), json.dumps(said | {"model": None, "score": None}).encode()]
        self.alone = self._row(read_predictions([self.seeds[0]], SeriesNumbers(), PROJECT), 0)

    @staticmethod
    def _row(read: Any, at: int) -> dict[str, Any]:
        return {name: column[at].item() for name, column in read.predictions.items() if name != "series"}

    def check(self, data: bytes) -> str:
        read = read_predictions([self.seeds[0], data, self.seeds[0]], SeriesNumbers(), PROJECT)
        assert read.refused in (0, 1)
        assert len(read.predictions["key"]) == 3 - read.refused
        assert self._row(read, 0) == self._row(read, 2 - read.refused) == self.alone
        if read.refused:
            return "refused"
        said = _loads(data)
        assert read.predictions["event_ms"][1] == said["event_time"]
        return "value"


class Reviews(Decoder):
    """Cases and what analysts said: one bad value hides no other."""

    def __init__(self) -> None:
        self.case = {
            "case_id": "k1", "opened_at": AT_MS, "event_id": "t1", "event_time": AT_MS,
            "keys": {"customer": "c1", "terminal": "m1"}, "amount_minor": 5, "why": "decision",
            "decision": "review", "decided_by": "model", "reasons": [], "policy": "p",
        }  # fmt: skip
        said = {
            "verdict_id": "k1/0/ann", "case_id": "k1", "event_id": "t1", "verdict": "confirmed",
            "who": "ann", "why": "x", "decided_at": AT_MS,
        }  # fmt: skip
        self.seeds = [json.dumps(self.case).encode(), json.dumps(said).encode()]

    def check(self, data: bytes) -> str:
        cases = queue([data, self.seeds[0]], [data, self.seeds[1]])
        known = queue([self.seeds[0]], [self.seeds[1]])
        assert set(known) <= set(cases)
        return f"{len(cases)} cases"


class Drift(Decoder):
    """Records of `drift` as the learner reads them."""

    def __init__(self) -> None:
        said = {
            "kind": "alert",
            "feature": "score",
            "at": 5,
            "from_mean": 0.1,
            "to_mean": 0.2,
            "detector": "psi",
        }
        self.seeds = [json.dumps(said).encode(), json.dumps(said | {"statistic": 0.3}).encode()]
        self.core = LearnerCore.__new__(LearnerCore)

    def check(self, data: bytes) -> str:
        self.core.alerts = []
        taken = self.core.take_drift(data)
        assert all(math.isfinite(alert.ratio) for alert in self.core.alerts)
        return f"{len(self.core.alerts)} alerts" if taken else "refused"


class ManifestJson(Decoder):
    """A model's manifest."""

    def __init__(self) -> None:
        manifest = {
            "name": "fraud", "version": "1", "definitions_hash": "00", "features": list(SERVICE.columns),
            "sha256": {"model.txt": "a" * 64}, "thresholds": {"review": 0.5, "decline": 0.9},
        }  # fmt: skip
        self.seeds = [json.dumps(manifest).encode()]

    def check(self, data: bytes) -> str:
        try:
            manifest = msgspec.json.decode(data, type=Manifest)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return type(error).__name__
        assert manifest.name == _loads(data)["name"]
        return "value"


class ModelText(Decoder):
    """The text of a LightGBM model: what is taken has only numbers that are numbers."""

    def __init__(self) -> None:
        from tests.unit.inference.support import trained_text

        self.seeds = [trained_text(trees=3, leaves=4, rows=400).encode()]

    def check(self, data: bytes) -> str:
        try:
            trees = check_model_text(data, list(SERVICE.columns))
        except ModelError as error:
            return error.code
        assert trees == data.count(b"\nTree=") or trees > 0
        return "value"


class PolicyYaml(Decoder):
    """A policy file."""

    def __init__(self) -> None:
        self.seeds = [PROJECT.policy_path.read_bytes()]

    def check(self, data: bytes) -> str:
        try:
            policy = policy_of(data, HERE, PROJECT)
        except ConfigError as error:
            return error.code
        assert policy.data == data
        return "value"


class ContractYaml(Decoder):
    """A contract file, as `make contracts` reads it."""

    def __init__(self) -> None:
        folder = Path(generate.__file__).parent
        self.seeds = [
            path.read_bytes() for path in generate.contract_files(folder) if path.stat().st_size < 9000
        ]
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "transactions.yaml"

    def check(self, data: bytes) -> str:
        self.path.write_bytes(data)
        try:
            ast.parse(generate.unformatted(self.folder))
        except ConfigError as error:
            return error.code
        return "value"


class Lines(Decoder):
    """NDJSON rows of `headrace produce`: each line is one record, byte for byte."""

    def __init__(self) -> None:
        row = {"transaction_id": "t1", "event_time": AT_MS, "customer_id": "c1"}
        self.seeds = [b"\n".join([json.dumps(row).encode(), b"{", json.dumps(row | {"x": [1]}).encode()])]

    def check(self, data: bytes) -> str:
        lines = data.splitlines()
        try:
            records = LineRecords(lines, forms_of(PIPELINE)["transactions"])
            made = records.slice(0, len(lines))
        except HeadraceError as error:
            return error.code
        assert [value for _, value in made] == [line for line in lines if line.strip()]
        assert (np.diff(records.moment_ms) >= 0).all()
        return "value"


class ParquetRows(Decoder):
    """Parquet rows of `headrace produce`."""

    def __init__(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path = Path(tempfile.mkdtemp()) / "rows.parquet"
        rows = {"transaction_id": ["t1", "t2"], "customer_id": ["c1", "c2"], "event_time": [AT_MS, AT_MS + 1]}
        pq.write_table(pa.table(rows), self.path)
        self.seeds = [self.path.read_bytes()]

    def check(self, data: bytes) -> str:
        self.path.write_bytes(data)
        try:
            records = open_records(self.path, forms_of(PIPELINE)["transactions"])
            records.slice(0, 10)
        except HeadraceError as error:
            return error.code
        return "value"


class LetterHeaders(Decoder):
    """Headers of a dead letter, as `headrace dlq` and the archive read them."""

    def __init__(self) -> None:
        names = {"code": "E_X", "topic": "transactions", "partition": "3", "offset": "12", "timestamp": "5",
                 "stage": "gate", "reason": "why", "contract": "transactions/1.0.0"}  # fmt: skip
        self.seeds = [b"\n".join(f"{name}={value}".encode() for name, value in names.items())]

    def check(self, data: bytes) -> str:
        pairs = [line.partition(b"=")[::2] for line in data.split(b"\n")]
        headers = [(DLQ_PREFIX + name.decode(errors="replace"), value) for name, value in pairs]
        message = Message(
            topic="x", partition=0, offset=1, key=b"k", value=b"v", headers=headers, timestamp=(2, 5)
        )
        table = DeadLetterRows().table([message])
        letter = letter_of(message, PIPELINE)
        if letter is None:
            return "none"
        row = table.to_pylist()[0]
        if len(str(letter.origin.offset)) <= 18 and len(str(letter.origin.partition)) <= 18:
            assert (row["origin_partition"], row["origin_offset"]) == letter.origin[1:]
        return "value"


def _row(cells: list[bytes | None]) -> bytes:
    parts = [b"$-1\r\n" if cell is None else b"$%d\r\n%s\r\n" % (len(cell), cell) for cell in cells]
    return b"*%d\r\n" % len(cells) + b"".join(parts)


def _loads(data: bytes) -> Any:
    """Read JSON slowly; msgspec passes over names it does not know without looking at their encoding."""
    return json.loads(data.decode(errors="replace"))


def _coded(error: HeadraceError, codes: Sequence[str]) -> str:
    """Return the error's code, which must be one of these."""
    assert error.code in codes, error
    return error.code


def _fail(what: str) -> NoReturn:
    raise AssertionError(what)


def _start() -> Marker:
    return Marker(input_offset=0, lanes={}, definitions_hash="")


@cache
def _packed(entity: Any) -> list[bytes]:
    """Return packed states of some keys: with a long past, a short one, and late rows."""
    rows = events(np.random.default_rng(2), 400) | {"pos": np.arange(400, dtype=np.int64) << 20}
    state = EntityState(entity)
    state.apply(rows, Kind.SCORED)
    if entity is TERMINAL:
        state.apply(label_rows(rows, 5), Kind.LABEL)
    return state.export(np.unique(rows[entity.join_key])[:6])


def _plain(reply: Any) -> Any:
    if isinstance(reply, ErrorReply | reference.Error):
        return ("error", reply.text)
    return [_plain(item) for item in reply] if isinstance(reply, list) else reply


def _within(data: bytes) -> bool:
    """Tell whether a whole reply begins the data and keeps to the reader's bounds.

    Zeros before a number count as its digits: nothing that answers us writes any.
    """
    if re.search(rb"[:$*]-?[0-9]{20,}\r\n", data):
        return False
    found, _ = reference.resp(data, 0)
    return found is not reference.MORE and found is not reference.MALFORMED and _fits(found, 0)


def _fits(reply: Any, depth: int) -> bool:
    if isinstance(reply, int):
        return len(str(abs(reply))) <= 19
    if not isinstance(reply, list):
        return True
    return len(reply) <= ITEMS_MAX and depth < DEPTH_MAX and all(_fits(item, depth + 1) for item in reply)


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    both_nan = isinstance(left, float) and isinstance(right, float) and math.isnan(left) and math.isnan(right)
    return bool(both_nan or left == right)


DECODERS: dict[str, Callable[[], Decoder]] = {
    "event_json": partial(EventJson, "transactions"),
    "label_json": partial(EventJson, "labels"),
    "nested_json": partial(EventJson, "logins"),
    "frame_customer": partial(Frames, "events.customer"),
    "frame_terminal": partial(Frames, "events.terminal"),
    "frame_features": partial(Frames, "features.log"),
    "lane_header": partial(Frames, "events.customer", header_only=True),
    "packed_tiles": PackedTiles,
    "packed_state": PackedState,
    "seen_chunk": Chunk,
    "marker": Markers,
    "resp": Resp,
    "redis_row": RedisRow,
    "prediction": Predictions,
    "review": Reviews,
    "drift": Drift,
    "manifest": ManifestJson,
    "model_text": ModelText,
    "policy": PolicyYaml,
    "contract": ContractYaml,
    "produce_lines": Lines,
    "letter_headers": LetterHeaders,
}
if hasattr(source, "read_table"):  # with the reader that has codes for damaged files
    DECODERS["produce_parquet"] = ParquetRows
