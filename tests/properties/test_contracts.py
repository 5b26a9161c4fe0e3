"""Laws of the verdict for any contract: the fast path says what the strict one says, whatever is given."""

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.contract_version import INT64_MAX, ContractField, ContractVersion, Limits
from contracts.hashed_fields import HashKey, HashKeys
from contracts.keys import NULL
from contracts.pipeline import SourceStream
from contracts.raw import RawBatch
from contracts.strict_verdict import Accepted, Given, judge_strictly
from contracts.verdict import judge

AT_MS = 1_700_000_000_000
KEYS = HashKeys((HashKey(version=1, from_ms=0, secret=b"k" * 32),))
PATHS = [
    ("a",),
    ("b",),
    ("c", "x"),
    ("c", "y"),
    ("d", "e", "f"),
    ("d", "e.e"),
    ("g",),
    ("h/h", "x"),
    ("c",),
    ("i",),
]
EXTRAS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(-1e30, 1e30)
    | st.text("ab\"é\\", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abxy"), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
NUMBERS = ["0", "-0", "1.5", "12.50", "-3.007", "1e2", "1E-2", "9" * 20, "0.1e1", "1e400", "5e-999",
           "-9223372036854775808", "9223372036854775807", "18446744073709551616", "123456.12"]  # fmt: skip
TIMES = ["2023-11-14T22:13:19Z", "2023-11-14T22:13:19.123456+02:00", "2023-11-14 22:13:19", "2023-11-14",
         "2023-11-14t22:13:19,5z", "2023-11-14T22:13:19-0330", "2024-11-14T22:13:19Z", "2023-02-30T00:00:00Z",
         "2023-11-14T24:00:00Z", "1969-12-31T23:59:59.9Z", "9999-12-31T23:59:59Z"]  # fmt: skip


@st.composite
def fields(draw: st.DrawFn, number: int, path: tuple[str, ...]) -> ContractField:
    """Draw a field of any type at a place."""
    inside = any(other[: len(path)] == path and other != path for other in PATHS)
    kind = draw(
        st.sampled_from(["string", "integer", "decimal", "number", "boolean", "time", "other", "list"])
    )
    if inside:  # an object on the way to others
        kind = "other"
    facts: dict[str, Any] = {"name": f"n{number}", "path": path, "required": draw(st.booleans())}
    facts["personal"] = draw(st.integers(0, 4)) == 0
    low, high = draw(st.sampled_from([(None, None), (0, 5000), (-5, 1000), (1, 3)]))
    match kind:
        case "string":
            enum = draw(st.sampled_from([(), (), ("web", "app"), ("", "x")]))
            facts |= {"type": "string", "enum": enum, "low": low and abs(low), "high": high}
            facts["letters"] = not enum and draw(st.booleans()) and low == 1
        case "decimal":
            facts |= {"type": "decimal", "scale": draw(st.integers(0, 3)), "quoted": draw(st.booleans())}
            facts |= {"low": -999_999 if low is None else low, "high": 999_999 if high is None else high}
        case "time":
            form = draw(st.sampled_from(["epoch_s", "epoch_ms", "epoch_us", "iso8601"]))
            facts |= {"type": "time", "time_format": form}
            facts["zone"] = draw(st.sampled_from(["", "+02:00", "-03:30"])) if form == "iso8601" else ""
        case "list":
            facts |= {"type": "other", "shape": draw(st.sampled_from(["list", "map"]))}
        case "integer" | "number":
            facts |= {"type": kind, "low": low, "high": high}
        case _:
            facts["type"] = kind
    return ContractField(**facts)


@st.composite
def versions(draw: st.DrawFn) -> ContractVersion:
    """Draw a contract."""
    paths = draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=8, unique=True))
    made = [draw(fields(number, path)) for number, path in enumerate(sorted(paths))]
    times = [field.name for field in made if field.type == "time" and field.shape == "one"]
    if len(times) > 1 and draw(st.booleans()):
        later = next(field for field in made if field.name == times[1])
        made[made.index(later)] = ContractField(
            **{name: getattr(later, name) for name in later.__struct_fields__} | {"not_before": times[0]}
        )
    keys = [field.name for field in made if field.type in ("string", "integer") and field.shape == "one"]
    return ContractVersion(
        topic="t", contract="c", version="1", schema="Record", effective_from_ms=0, fields=tuple(made),
        event_time=draw(st.sampled_from([*times, ""])), known_at=draw(st.sampled_from([*times, ""])),
        key_field=draw(st.sampled_from([*keys, "", ""])), limits=draw(st.sampled_from([Limits(), LIMITS])),
    )  # fmt: skip


LIMITS = Limits(value_bytes_max=300, fields_max=24, field_bytes_max=40, depth_max=4, key_bytes_max=8)


def written(draw: st.DrawFn, field: ContractField) -> str:
    """Draw the JSON of a value that the field takes, most often."""
    odd = draw(st.integers(0, 11))
    if odd == 0:
        return json.dumps(draw(EXTRAS))
    if odd == 1:
        return draw(
            st.sampled_from([*NUMBERS, "null", '"x"', "true", "NaN", '"\\u0000"', '"\\ud800"', "[1e400]"])
        )
    low, high = (0, 3) if field.shape != "one" or field.type == "other" else field.bounds
    some = draw(st.integers(max(low, -(10**15)), min(high, 10**15)))
    if field.shape != "one" or field.type == "other":
        return json.dumps(draw(st.lists(st.integers(), max_size=2) if field.shape == "list" else
                               st.dictionaries(st.sampled_from("pq"), EXTRAS, max_size=2)))  # fmt: skip
    match field.type:
        case "string":
            texts = st.sampled_from(field.enum) if field.enum else st.text("ABCé", min_size=0, max_size=4)
            return json.dumps(draw(texts), ensure_ascii=draw(st.booleans()))
        case "decimal":
            text = draw(st.sampled_from([f"{some / 10**field.scale:.{field.scale}f}", *NUMBERS]))
            return f'"{text}"' if field.quoted else text
        case "number":
            return draw(st.sampled_from([str(some), f"{some}.25", *NUMBERS]))
        case "boolean":
            return draw(st.sampled_from(["true", "false"]))
        case "time" if field.time_format == "iso8601":
            moment = datetime(2023, 1, 1, tzinfo=UTC) + timedelta(milliseconds=draw(st.integers(0, 10**10)))
            return json.dumps(draw(st.sampled_from([moment.isoformat(), *TIMES])))
        case "time":
            unit = {"epoch_s": 1, "epoch_ms": 1000, "epoch_us": 10**6}[field.time_format]
            return str(AT_MS // 1000 * unit + draw(st.integers(-(10**9), 10**6)))
    return str(some)


@st.composite
def documents(draw: st.DrawFn, version: ContractVersion) -> tuple[bytes, dict[str, str]]:
    """Draw a record of a contract as JSON text, and what was written of each field."""
    tree: dict[str, Any] = {}
    said: dict[str, str] = {}
    for field in version.fields:
        if draw(st.integers(0, 9)) < (1 if field.required else 4):
            continue
        below = tree
        for key in field.path[:-1]:
            below = below.setdefault(key, {})
            if not isinstance(below, dict):
                break
        else:
            said[field.name] = written(draw, field)
            below.setdefault(field.path[-1], said[field.name])
    for key in draw(st.lists(st.sampled_from("abcdz"), max_size=1)):
        tree.setdefault(key, json.dumps(draw(EXTRAS)))
    text = _text(draw, tree)
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 1]))):
        at = draw(st.integers(0, len(text)))
        text = (
            text[:at]
            + draw(st.sampled_from(['"', "\\", "{", "}", ",", '"a":1,', "é", " ", "0"]))
            + text[at + 1 :]
        )
    return text.encode("utf-8", "surrogatepass"), said


def _text(draw: st.DrawFn, tree: dict[str, Any]) -> str:
    pairs = [(key, _text(draw, below) if isinstance(below, dict) else below) for key, below in tree.items()]
    if pairs and draw(st.integers(0, 15)) == 0:
        pairs.append(draw(st.sampled_from(pairs)))
    return "{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in draw(st.permutations(pairs))) + "}"


@st.composite
def batches(draw: st.DrawFn) -> tuple[SourceStream, list[tuple[int, int, int, bytes | None, bytes, None]]]:
    """Draw a source and some records of it."""
    version = draw(versions())
    personal = [
        field.name for field in version.fields if field.personal and field.column in ("text", "int64")
    ]
    source = SourceStream(
        number=1, name="s", role="scored", versions=(version,), time=version.event_time,
        hashed=frozenset(draw(st.lists(st.sampled_from(personal), max_size=1)) if personal else ()),
    )  # fmt: skip
    records = []
    for offset in range(draw(st.integers(1, 6))):
        value, said = draw(documents(version))
        right = said.get(version.key_field, "").strip('"').encode("utf-8", "replace")
        key = draw(st.sampled_from([right, right, right, b"other", b"", None, b"a\0b"]))
        records.append((0, offset, draw(st.sampled_from([AT_MS, AT_MS - 10**10])), key, value, None))
    return source, records


def as_column(field: ContractField, value: Any) -> Any:
    """Return a value as it stands in a column."""
    if field.column == "text":
        return ("" if value is None else str(value)).encode()
    return (math.nan if field.column == "float64" else NULL) if value is None else value


@settings(max_examples=600, deadline=None)
@given(batches())
def test_the_fast_path_says_what_the_strict_one_says(drawn: tuple[SourceStream, list[Any]]) -> None:
    source, records = drawn
    version = source.versions[0]
    verdict = judge(source, RawBatch.of(records), KEYS)
    strict = [judge_strictly(Given(*record[2:]), version, version, row) for row, record in enumerate(records)]
    assert verdict.bad == [one for one in strict if not isinstance(one, Accepted)]
    good = {row: one for row, one in enumerate(strict) if isinstance(one, Accepted)}
    assert verdict.good_index.tolist() == list(good)
    assert verdict.extra_fields == sum(one.extra_fields for one in good.values())
    for field in source.fields:
        due = [as_column(field, one.values[field.name]) for one in good.values()]
        if field.name in source.hashed:
            times = [records[row][2] for row in good]
            due = [text.encode() for text in KEYS.hashed([text.decode() for text in due], times)]
        assert same(verdict.good[field.name].tolist(), due), field.name


def same(left: list[Any], right: list[Any]) -> bool:
    """Return whether two columns are equal, NaN by NaN."""
    return len(left) == len(right) and all(
        a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))
        for a, b in zip(left, right, strict=True)
    )


@settings(max_examples=150, deadline=None)
@given(batches())
def test_a_record_says_the_same_alone_and_among_others(drawn: tuple[SourceStream, list[Any]]) -> None:
    source, records = drawn
    together = judge(source, RawBatch.of(records), KEYS)
    for row, record in enumerate(records):
        alone = judge(source, RawBatch.of([record]), KEYS)
        if alone.bad:
            assert [bad[1:] for bad in together.bad if bad.row == row] == [alone.bad[0][1:]]
            continue
        (at,) = np.flatnonzero(together.good_index == row)
        for name, column in alone.good.items():
            assert same([column[0].item()], [together.good[name][at].item()]), name


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_record_is_read_by_the_version_in_force_at_its_timestamp(data: st.DataObject) -> None:
    source, records = data.draw(batches())
    first = source.versions[0]
    later = ContractVersion(
        **{name: getattr(first, name) for name in first.__struct_fields__}
        | {"version": "2", "effective_from_ms": AT_MS, "fields": tuple(_loosened(first))}
    )
    both = SourceStream(
        number=1, name="s", role="scored", versions=(first, later), time="", hashed=source.hashed
    )  # fmt: skip
    verdict = judge(both, RawBatch.of(records), KEYS)
    for row, record in enumerate(records):
        version = later if record[2] >= AT_MS else first
        strict = judge_strictly(Given(*record[2:]), version, first, row)
        assert isinstance(strict, Accepted) == (row in verdict.good_index.tolist())
        if not isinstance(strict, Accepted):
            assert strict in verdict.bad


def _loosened(version: ContractVersion) -> Iterator[ContractField]:
    """Yield the fields, none of them required."""
    for field in version.fields:
        yield ContractField(
            **{name: getattr(field, name) for name in field.__struct_fields__} | {"required": False}
        )


def test_the_smallest_whole_number_is_nobodys_value() -> None:
    field = ContractField(name="n", path=("n",), type="integer", required=True)
    version = ContractVersion(
        topic="t", contract="c", version="1", schema="R", effective_from_ms=0, fields=(field,)
    )
    source = SourceStream(number=1, name="s", role="context", versions=(version,), time="n")
    values = [-INT64_MAX - 1, -INT64_MAX, INT64_MAX, INT64_MAX + 1]
    batch = RawBatch.of((0, at, AT_MS, None, b'{"n":%d}' % value, None) for at, value in enumerate(values))
    verdict = judge(source, batch)
    assert verdict.good["n"].tolist() == values[1:3]
    assert [bad.code for bad in verdict.bad] == ["E_CONTRACT_RANGE", "E_CONTRACT_RANGE"]
