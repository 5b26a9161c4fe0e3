"""What a pipeline refuses, how it names things, and where rows with and without keys go."""

from pathlib import Path

import numpy as np
import pytest

from contracts.chain import Chain
from contracts.contract_file import contract_of
from contracts.errors import ConfigError
from contracts.keys import NULL, key_of, partition_of, targets_of
from contracts.pipeline import Pipeline, SourceStream
from contracts.row_columns import entered_columns, stage_columns

EXAMPLES = Path("examples/logins/contracts")


def stream(number: int, name: str, role: str = "context", **changes: object) -> SourceStream:
    contract = contract_of(EXAMPLES / f"{name}.yaml")
    given = {"ids": contract.id_fields, "time": contract.event_time} | changes
    return SourceStream(number=number, name=name, role=role, versions=(contract,), **given)  # type: ignore[arg-type]  # roles are words here


LOGINS = stream(1, "logins", "scored", hashed=frozenset({"ip"}))
RESETS = stream(2, "resets")
CHAIN = Chain(("account", "account_id"), ("device", "device_id"), ("pair", ("account_id", "device_id")))
PIPELINE = Pipeline("logins", CHAIN, (LOGINS, RESETS))


def test_two_sources_of_one_topic_are_refused() -> None:
    with pytest.raises(ConfigError, match="two sources read the topic 'logins'") as found:
        Pipeline("logins", CHAIN, (LOGINS, stream(2, "logins")))
    assert found.value.code == "E_PIPELINE_SOURCES"


def test_topics_follow_from_sources_and_chain() -> None:
    names = [topic.name for topic in PIPELINE.topics]
    assert names[:4] == ["logins", "resets", "logins.dlq", "resets.dlq"]
    assert {"events.account", "events.device", "events.pair", "changelog.pair", "features.log"} < set(names)
    assert len(set(names)) == len(names)
    assert {topic.partitions for topic in PIPELINE.table(7)} == {1, 7}


def test_personal_fields_leave_the_gate_only_where_a_key_needs_them() -> None:
    assert "ip" in LOGINS.names
    assert "ip" not in stream(1, "logins", "scored").names
    assert {"login_id", "ip", "traceparent", "content_hash"} < entered_columns(LOGINS)
    assert "traceparent" not in entered_columns(RESETS)


def test_every_stage_takes_rows_of_every_source_with_what_came_before() -> None:
    last = stage_columns(PIPELINE, CHAIN.last)
    assert set(last) == {1, 2}
    assert {"account_values", "device_values", "device_pos", "late"} < last[1]
    assert {"account_pos", "device_pos", "late"} < last[2]
    assert {"account_values", "device_values"}.isdisjoint(last[2]), "only scored rows must have values"
    assert "content_hash" not in last[1]


def test_a_compound_key_tells_its_parts_apart_and_is_empty_without_one() -> None:
    rows = {"a": np.array([b"ab", b"a", b"", b"a"]), "b": np.array([b"c", b"bc", b"x", b""])}
    keys = key_of(rows, ("a", "b")).tolist()
    assert keys == [b"2:ab1:c", b"1:a2:bc", b"", b""]
    assert key_of({"n": np.array([7, NULL, -3])}, ("n",)).tolist() == [b"7", b"", b"-3"]
    assert key_of(rows, ("a", "elsewhere")).tolist() == [b""] * 4


def test_rows_without_a_key_go_by_their_id_and_compound_keys_by_their_first_field() -> None:
    rows = {
        "account_id": np.array([b"c1", b"c2"]), "device_id": np.array([b"d1", b""]),
        "login_id": np.array([b"l1", b"l2"]), "raw_offset": np.array([4, 5]),
    }  # fmt: skip
    by_device = targets_of(rows, CHAIN.named("device"), LOGINS, 16).tolist()
    assert by_device == partition_of(np.array([b"d1", b"l2"]), 16).tolist()
    by_pair = targets_of(rows, CHAIN.last, LOGINS, 16).tolist()
    assert by_pair == partition_of(np.array([b"c1", b"l2"]), 16).tolist()
    nameless = stream(2, "resets", ids=())
    assert targets_of(rows, CHAIN.named("device"), nameless, 16)[1] == partition_of(np.array([b"5"]), 16)[0]
    assert LOGINS.always_has(CHAIN.first)
    assert not LOGINS.always_has(CHAIN.last)
