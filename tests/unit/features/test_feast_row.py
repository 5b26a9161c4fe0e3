"""The row codec writes the very bytes that Feast writes, and reads whatever Feast may have written."""

import math
import struct

import numpy as np
import pytest
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3, _redis_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import ConfigError, ContractError
from features import feast_format as fmt
from features.feast_key import KeyFormat
from features.feast_row import ROWS_PER_CALL, RowReaderCodec, RowWriterCodec
from features.feast_tiles import FOREVER_MS, Tiles, TilesView, int64_cells

VIEWS = [("payments", ["count", "sum"]), ("labels", ["frauds"])]
FEATURES, TIMES, STAMPS = 3, 2, 2

names = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FFF, exclude_categories=["Cs"]), min_size=1)
key_bytes = st.text(min_size=1).map(str.encode).filter(lambda key: not key.endswith(b"\0"))
times = st.integers(0, fmt.SECONDS_LIMIT * 1000 - 1)
doubles = st.floats(width=64)


@given(names, names, st.text(max_size=40))
def test_entity_keys_are_those_of_feast(project: str, join_key: str, value: str) -> None:
    key = EntityKey(join_keys=[join_key], entity_values=[Value(string_val=value)])
    assert fmt.entity_key(project, join_key, value.encode()) == _redis_key(project, key, 3)
    assert fmt.key_prefix(join_key) == serialize_entity_key(key, 3)[: len(fmt.key_prefix(join_key))]


parts = st.lists(
    st.tuples(names, st.text(max_size=40) | st.integers(-(2**63) + 1, 2**63 - 1)),
    min_size=1, max_size=4, unique_by=lambda part: part[0],
)  # fmt: skip


@given(names, parts)
def test_keys_of_several_fields_and_of_numbers_are_those_of_feast(
    project: str, given: list[tuple[str, str | int]]
) -> None:
    fields, values = tuple(name for name, _ in given), [value for _, value in given]
    key = EntityKey(
        join_keys=fields,
        entity_values=[
            Value(int64_val=value) if isinstance(value, int) else Value(string_val=value) for value in values
        ],
    )
    texts = [str(value).encode() for value in values]
    joined = texts[0] if len(texts) == 1 else b"".join(b"%d:%b" % (len(text), text) for text in texts)
    form = KeyFormat(fields, tuple(isinstance(value, int) for value in values))
    assert form.values(joined) == texts
    assert form.serialized(joined) == serialize_entity_key(key, 3)
    codec = RowReaderCodec(project, form, [("payments", ["count"])])
    column = np.empty(1, object)
    column[0] = joined
    assert parsed(codec.encode(column))[0][1] == _redis_key(project, key, 3)


@given(names, names)
def test_field_names_are_those_of_feast(view: str, feature: str) -> None:
    assert fmt.field_name(view, feature) == _mmh3(f"{view}:{feature}")


@given(st.lists(times, min_size=1, max_size=5))
def test_timestamps_are_read_by_protobuf(millis: list[int]) -> None:
    for text, expected in zip(fmt.timestamps(np.array(millis)), millis, strict=True):
        read = Timestamp.FromString(text.tobytes())
        assert read.seconds * 1000 + read.nanos // 1_000_000 == expected
        assert read.nanos % 1_000_000 == 0


@given(
    st.integers(0, 10**10 - 1),
    st.integers(0, 2**63 - 1),
    st.integers(0, 10**10 - 1),
    st.integers(0, 2**63 - 1),
)
def test_stamps_sort_as_epoch_and_position_do(epoch: int, position: int, epoch2: int, position2: int) -> None:
    first = fmt.stamps(np.array([position]), epoch)[0].tobytes()
    second = fmt.stamps(np.array([position2]), epoch2)[0].tobytes()
    assert (first <= second) == ((epoch, position) <= (epoch2, position2))
    assert first == b"%010d%020d" % (epoch, position)


@pytest.mark.parametrize("millis", [-1, fmt.SECONDS_LIMIT * 1000])
def test_a_time_that_cannot_be_written_is_refused(millis: int) -> None:
    with pytest.raises(ContractError, match="E_ROW_TIME"):
        fmt.timestamps(np.array([0, millis]))


def test_a_position_or_epoch_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(ContractError, match="E_ROW_STAMP"):
        fmt.stamps(np.array([-1]), 1)
    with pytest.raises(ContractError, match="E_ROW_STAMP"):
        fmt.stamps(np.array([1]), 10**10)


def test_features_that_share_a_field_are_refused_when_the_codec_is_built() -> None:
    taken: dict[bytes, str] = {}
    number = 0
    while True:  # a pair among 2**32 names comes after about 80,000 tries
        name = f"f{number}"
        other = taken.setdefault(fmt.field_name("v", name), name)
        if other != name:
            break
        number += 1
    with pytest.raises(ConfigError, match=f"E_FEATURE_COLLISION: v:{other} and v:{name}"):
        RowWriterCodec("p", "id", [("v", [other, name])])
    with pytest.raises(ConfigError, match="E_FEATURE_COLLISION"):
        RowReaderCodec("p", "id", [("v", [other]), ("v", [name])])


@given(st.lists(st.tuples(key_bytes, st.tuples(doubles, doubles, doubles), times), min_size=1, max_size=230))
def test_a_call_carries_the_key_stamp_timestamp_and_values_of_each_row(
    rows: list[tuple[bytes, tuple[float, float, float], int]],
) -> None:
    codec = RowWriterCodec("headrace", "id", VIEWS)
    keys = np.array([key for key, _, _ in rows])
    values = np.array([row for _, row, _ in rows])
    positions = np.arange(len(rows))
    data = codec.encode(keys, values, np.array([ms for _, _, ms in rows]), positions, epoch=7)
    calls = parsed(data)
    assert len(calls) == codec.calls(len(rows))
    written = []
    for name, sha, count, *arguments in calls:
        size = int(count)
        assert (name, sha) == (b"EVALSHA", codec.sha.encode())
        assert size <= ROWS_PER_CALL
        written += list(zip(arguments[:size], arguments[size:], strict=True))
    for (entity, argument), (key, row, ms), position in zip(written, rows, positions, strict=True):
        assert entity == _redis_key("headrace", EntityKey(join_keys=["id"], entity_values=[text(key)]), 3)
        assert argument[:30] == b"%010d%020d" % (7, position)
        assert Timestamp.FromString(argument[30:42]).ToMilliseconds() == ms
        assert argument[42:] == b"".join(value_bytes(x) for x in row)


@settings(deadline=None)  # the first call may compile
@given(st.lists(st.lists(doubles, min_size=FEATURES, max_size=FEATURES), min_size=1, max_size=20), times)
def test_values_come_back_bit_for_bit(rows: list[list[float]], ms: int) -> None:
    codec = RowReaderCodec("headrace", "id", VIEWS)
    stamp = fmt.stamps(np.array([2**62]), 1_764_547_200)[0].tobytes()
    time = fmt.timestamps(np.array([ms]))[0].tobytes()
    reply = b"".join(hmget([value_bytes(x) for x in row] + [time] * TIMES + [stamp] * STAMPS) for row in rows)
    read = codec.decode(reply, len(rows))
    assert read is not None
    assert read.values.tobytes() == np.array(rows).tobytes()
    assert (read.event_time_ms == ms).all()
    assert (read.stamps == 2**62).all()
    assert (read.epochs == 1_764_547_200).all()
    assert read.present.all()
    assert not read.failed.any()
    assert all(codec.decode(reply[:size], len(rows)) is None for size in range(len(reply)))


feast_numbers = st.one_of(
    st.none(),
    st.just(Value()),
    doubles.map(lambda x: Value(double_val=x)),
    st.floats(width=32).map(lambda x: Value(float_val=x)),
    st.integers(-(2**63), 2**63 - 1).map(lambda x: Value(int64_val=x)),
    st.integers(-(2**31), 2**31 - 1).map(lambda x: Value(int32_val=x)),
    st.booleans().map(lambda x: Value(bool_val=x)),
    st.integers(0, 2**40).map(lambda x: Value(unix_timestamp_val=x)),
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.lists(feast_numbers, min_size=FEATURES, max_size=FEATURES), st.none() | times)))
def test_whatever_number_feast_wrote_is_read(rows: list[tuple[list[Value | None], int | None]]) -> None:
    codec = RowReaderCodec("headrace", "id", VIEWS)
    replies = []
    for numbers, ms in rows:
        cells = [None if number is None else number.SerializeToString() for number in numbers]
        replies.append(hmget([*cells, canonical(ms), None, None, None]))
    read = codec.decode(b"".join(replies), len(rows))
    assert read is not None
    assert not read.failed.any()
    for values, at, present, (numbers, ms) in zip(
        read.values, read.event_time_ms, read.present, rows, strict=True
    ):
        np.testing.assert_array_equal(values, [number_of(number) for number in numbers])
        assert at.tolist() == [-1 if ms is None else ms, -1]
        assert present.tolist() == [ms is not None, False]


def test_an_error_reply_or_a_strange_value_fails_its_row_alone() -> None:
    codec = RowReaderCodec("headrace", "id", [("payments", ["count"])])
    good = hmget([value_bytes(2.0), canonical(1000), None])
    strange = hmget([Value(string_val="2").SerializeToString(), canonical(1000), None])
    wrong = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
    read = codec.decode(good + wrong + strange + good, 4)
    assert read is not None
    assert read.failed.tolist() == [False, True, True, False]
    assert read.present[:, 0].tolist() == [True, False, True, True]
    assert read.values[:, 0].tolist()[::3] == [2.0, 2.0]
    assert np.isnan(read.values[1:3, 0]).all()
    assert read.error == "WRONGTYPE Operation against a key holding the wrong kind of value"
    unreadable = codec.decode(strange, 1)
    assert unreadable is not None
    assert unreadable.error == "row 0 holds a value that is no number"


@pytest.mark.parametrize("reply", [b"+OK\r\n", b"*2\r\n$-1\r\n$-1\r\n", b"*3\r\n:1\r\n:1\r\n:1\r\n"])
def test_bytes_that_answer_something_else_are_refused(reply: bytes) -> None:
    codec = RowReaderCodec("headrace", "id", [("payments", ["count"])])
    with pytest.raises(ContractError, match="E_STORE_REPLY"):
        codec.decode(reply, 1)


def test_the_reader_asks_for_every_field_of_every_view() -> None:
    codec = RowReaderCodec("headrace", "id", VIEWS)
    names = [_mmh3(f"{view}:{name}") for view, features in VIEWS for name in features]
    names += [b"_ts:payments", b"_ts:labels", b"_o:payments", b"_o:labels"]
    commands = parsed(codec.encode(np.array([b"a", b"bcd"])))
    expected = [fmt.entity_key("headrace", "id", key) for key in (b"a", b"bcd")]
    assert commands == [[b"HMGET", key, *names] for key in expected]
    assert codec.encode(np.array([], "S1")) == b""


def test_replies_to_the_writer_are_counted_and_errors_told() -> None:
    codec = RowWriterCodec("headrace", "id", VIEWS)
    assert codec.written(b":100\r\n:7", calls=2) is None
    assert codec.written(b":100\r\n:7\r\n", calls=2) == 107
    with pytest.raises(ContractError, match="NOSCRIPT"):
        codec.written(b":100\r\n-NOSCRIPT No matching script.\r\n", calls=2)


def parsed(data: bytes) -> list[list[bytes]]:
    """Return the commands of a RESP text, read the slow way."""
    commands, at = [], 0
    while at < len(data):
        count, at = line(data, at)
        command = []
        for _ in range(count):
            size, at = line(data, at)
            command.append(data[at : at + size])
            at += size + 2
        commands.append(command)
    return commands


def line(data: bytes, at: int) -> tuple[int, int]:
    end = data.index(b"\r\n", at)
    return int(data[at + 1 : end]), end + 2


def hmget(cells: list[bytes | None]) -> bytes:
    texts = [b"$-1\r\n" if cell is None else b"$%d\r\n%s\r\n" % (len(cell), cell) for cell in cells]
    return b"*%d\r\n%s" % (len(cells), b"".join(texts))


def text(key: bytes) -> Value:
    return Value(string_val=key.decode())


def value_bytes(number: float) -> bytes:
    return b"\x29" + struct.pack("<d", number)


def canonical(ms: int | None) -> bytes | None:
    if ms is None:
        return None
    written: bytes = Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000).SerializeToString()
    return written


def number_of(value: Value | None) -> float:
    kind = None if value is None else value.WhichOneof("val")
    return math.nan if kind is None else float(getattr(value, kind))


@given(doubles.filter(lambda x: not math.isnan(x)))
def test_a_value_is_the_bytes_feast_writes(number: float) -> None:
    assert Value(double_val=number).SerializeToString() == value_bytes(number)


TILES = TilesView("id_tiles", "id_packed", "id_valid_until_ms")
states_and_moments = st.tuples(st.binary(max_size=300), st.integers(0, FOREVER_MS))


@settings(deadline=None)
@given(st.lists(st.tuples(key_bytes, doubles, states_and_moments), min_size=1, max_size=230))
def test_tiles_follow_the_row_as_feast_writes_them(
    rows: list[tuple[bytes, float, tuple[bytes, int]]],
) -> None:
    codec = RowWriterCodec("headrace", "id", [("v", ["f"])], TILES)
    packed = np.empty(len(rows), np.object_)
    packed[:] = [state for _, _, (state, _) in rows]
    tiles = Tiles(packed, np.array([moment for _, _, (_, moment) in rows]))
    values, ones = np.array([[value] for _, value, _ in rows]), np.ones(len(rows), np.int64)
    data = codec.encode(np.array([key for key, _, _ in rows]), values, ones, ones, 7, tiles)
    found = [argument for _, _, count, *rest in parsed(data) for argument in rest[int(count) :]]
    for argument, (_, value, (state, moment)) in zip(found, rows, strict=True):
        assert argument[42:51] == value_bytes(value)
        assert Value.FromString(argument[51:61]).int64_val == moment
        assert Value.FromString(argument[61:]).bytes_val == state


@settings(deadline=None)
@given(st.lists(st.none() | states_and_moments, min_size=1, max_size=20))
def test_tiles_come_back_as_they_were_written(rows: list[tuple[bytes, int] | None]) -> None:
    codec = RowReaderCodec("headrace", "id", [("v", ["f"])], TILES)
    replies = []
    for row in rows:
        stamp, time = fmt.stamps(np.array([5]), 7)[0].tobytes(), fmt.timestamps(np.array([9]))[0].tobytes()
        cells: list[bytes | None] = [value_bytes(1.0), None, time, None, stamp, None, None]
        if row is not None:
            cells[1] = int64_cells(np.array([row[1]]))[0].tobytes()
            cells[3], cells[5] = time, stamp
            cells[6] = Value(bytes_val=row[0]).SerializeToString()
        replies.append(hmget(cells))
    read = codec.decode(b"".join(replies), len(rows))
    assert read is not None
    assert not read.failed.any()
    assert list(read.packed) == [b"" if row is None else row[0] for row in rows]
    exact = [-1 if row is None else row[1] if row[1] < 2**53 else FOREVER_MS for row in rows]
    assert read.valid_until_ms.tolist() == exact
    assert read.present.tolist() == [[True, row is not None] for row in rows]
    assert read.values.tolist() == [[1.0]] * len(rows)


def test_tiles_of_a_strange_type_fail_their_row_alone() -> None:
    codec = RowReaderCodec("headrace", "id", [("v", ["f"])], TILES)
    cells: list[bytes | None] = [value_bytes(1.0), None, None, None, None, None]
    cut = Value(bytes_val=b"abc").SerializeToString()[:-1]
    read = codec.decode(hmget([*cells, value_bytes(1.0)]) + hmget([*cells, cut]) + hmget([*cells, b""]), 3)
    assert read is not None
    assert read.failed.tolist() == [True, True, False]
    assert read.packed == (b"", b"", b"")
