"""The batch's text of predictions against the contract's own encoding, byte by byte."""

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import PolicyUsed, Prediction, Reason
from contracts.frame import Columns, strings
from inference.models.model import ModelName
from inference.policy.decision import Decided
from inference.policy.ladder import RUNG_NAMES
from inference.policy.prediction import Judged, PredictionWriter, Timing, _numbers, _texts
from inference.policy.rules import declared_rules
from inference.reading.served import NO_AGE, Served
from load.this_project import PROJECT, SERVICE
from tests.unit.inference.support import policy

RULES = declared_rules(policy().policy.rules, PROJECT)
USED = PolicyUsed(name="default", version="1", sha256="b" * 64)
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TIMING = Timing(1_800_000_000_000.75, 1_799_999_999_990.5, 1.23456, 0.5)


class NamedModel:
    """A model as far as a prediction tells of one."""

    identity = ModelName("fraud", "0007-abc", "champion", "a" * 64)


def _rows(count: int) -> Columns:
    random = np.random.default_rng(5)
    return {
        "raw_partition": random.integers(0, 4, count).astype(np.int32),
        "raw_offset": random.integers(0, 1 << 40, count),
        "appended_ms": 1_800_000_000_005 - random.integers(0, 50, count),  # a few ahead of our clock
        "event_time": random.integers(1_600_000_000_000, 1_700_000_000_000, count),
        "transaction_id": strings([f't"{n}\\' if n % 5 == 0 else f"t{n}" for n in range(count)]),
        "customer_id": strings([f"ü\u2028{n}" if n % 7 == 0 else f"c\t{n}" for n in range(count)]),
        "terminal_id": strings([f"m{n}" for n in range(count)]),
        "traceparent": strings([TRACE if n % 3 == 0 else b"" for n in range(count)]),
    }


def _judged(count: int) -> Judged:
    random = np.random.default_rng(6)
    vectors = random.normal(0, 1e5, (count, len(SERVICE.columns)))
    vectors[random.random(vectors.shape) < 0.3] = np.nan
    status = random.integers(0, 2, (2, count)).astype(np.uint8)
    age_ms = np.where(random.random(count) < 0.5, NO_AGE, random.integers(-5, 1 << 40, count))
    profile = np.where(age_ms == NO_AGE, 2, random.choice([1, 3], count)).astype(np.uint8)
    served = Served(
        (vectors, vectors), vectors, (status[0], status[1]), profile, age_ms, np.zeros(count, bool), True, {}
    )
    band = random.integers(0, 4, count).astype(np.uint8)
    decided = Decided(
        random.integers(0, 3, count).astype(np.uint8), random.integers(0, 3, count).astype(np.uint8), band
    )
    scores = np.where(band == 3, np.nan, random.random(count))
    outcomes = random.integers(0, 3, (count, len(RULES))).astype(np.uint8)
    missing = random.integers(0, 16, count).astype(np.uint8)
    reasons = {n: [Reason(code="C", feature="f", value=None, text='a "why"')] for n in range(0, count, 4)}
    rung = random.integers(0, len(RUNG_NAMES), count).astype(np.uint8)
    return Judged(vectors, served, scores, outcomes, decided, missing, reasons, rung)


def test_every_byte_is_the_contracts_own_encoding() -> None:
    rows, judged = _rows(200), _judged(200)
    written = PredictionWriter(9, RULES, USED, PROJECT).write(rows, judged, NamedModel(), TIMING)  # type: ignore[arg-type]
    read = [msgspec.json.decode(data, type=Prediction) for data in written]
    assert [msgspec.json.encode(one) for one in read] == written
    for n, one in enumerate(read):
        assert one.prediction_id == f"9-{rows['raw_partition'][n]}-{rows['raw_offset'][n]}"
        assert one.keys == {"customer": rows["customer_id"][n].decode(), "terminal": f"m{n}"}
        assert one.event_id.encode() == rows["transaction_id"][n]
        values = np.array([np.nan if v is None else v for v in one.features.values])
        np.testing.assert_array_equal(values, judged.vectors[n])
        assert (one.score is msgspec.UNSET) == (judged.decided.risk_band[n] == 3)
        assert one.traceparent == (TRACE.decode() if n % 3 == 0 else msgspec.UNSET)
        age_ms = int(judged.served.profile_age_ms[n])
        assert one.features.groups["profile"].age_ms == (msgspec.UNSET if age_ms == NO_AGE else age_ms)
        assert (one.rung, one.policy) == (RUNG_NAMES[judged.rung[n]], USED)
        assert len(one.reasons) == (1 if n % 4 == 0 else 0)
        assert [answer.id for answer in one.rules] == [rule.id for rule in RULES]


def test_without_a_model_nothing_is_said_of_one() -> None:
    judged = _judged(40)._replace(scores=None)
    judged = judged._replace(decided=judged.decided._replace(risk_band=np.full(40, 3, np.uint8)))
    writer = PredictionWriter(1, RULES, USED, PROJECT)
    with_model = writer.write(_rows(40), judged, NamedModel(), TIMING)  # type: ignore[arg-type]
    without = writer.write(_rows(40), judged, None, TIMING)
    assert all(b'"model"' in data for data in with_model)
    for data in without:
        one = msgspec.json.decode(data, type=Prediction)
        assert one.model is msgspec.UNSET
        assert one.score is msgspec.UNSET
        assert msgspec.json.encode(one) == data


@given(st.lists(st.floats(), min_size=1, max_size=20))
def test_numbers_read_back_to_the_same_bits(values: list[float]) -> None:
    text = _numbers(np.array([values]))[0]
    back = msgspec.json.decode(b"[" + text + b"]", type=list[float | None])
    expected = [value if np.isfinite(value) else None for value in values]
    assert back == expected


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=12), min_size=1))
def test_texts_are_escaped_as_json_asks(texts: list[str]) -> None:
    assert [b'"%b"' % text for text in _texts(strings(texts))] == [msgspec.json.encode(t) for t in texts]
