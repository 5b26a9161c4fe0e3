"""What a worker refuses of its servers, and what it only says."""

from collections.abc import Iterable

import pytest

from contracts import topics
from load.this_project import PIPELINE
from runtime import guards
from runtime.guards import Finding, TopicState
from runtime.input_record import TopicFact
from runtime.settings import GuardSettings

TABLE = (PIPELINE.scored.records, topics.FEATURES_LOG)
AS_KEPT = {topic.name: TopicState("id", topic.partitions, 3) for topic in TABLE}
KEPT = {topic.name: TopicFact(name=topic.name, id="id") for topic in TABLE}


def codes(found: Iterable[Finding]) -> list[tuple[str, bool]]:
    return [(each.error.code, each.refuse) for each in found]


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (None, [("E_TOPIC_MISSING", True)]),
        (TopicState("another", 4, 3), [("E_TOPIC_RECREATED", True)]),
        (TopicState("id", 3, 3), [("E_TOPIC_PARTITIONS", True)]),
        (TopicState("id", 6, 3), [("E_TOPIC_GREW", False)]),
        (TopicState("", 4, 3), []),  # a broker that does not say ids
    ],
)
@pytest.mark.parametrize("name", [topic.name for topic in TABLE])
def test_a_topic_that_is_not_the_one_that_was_read(
    name: str, state: TopicState | None, expected: list[tuple[str, bool]]
) -> None:
    found = {key: each for key, each in {**AS_KEPT, name: state}.items() if each is not None}
    assert codes(guards.topics_as_kept(TABLE, found, KEPT, "lake")) == expected


def test_each_topic_made_again_names_the_way_on_that_it_has() -> None:
    found = {name: state._replace(id="another") for name, state in AS_KEPT.items()}
    raw, log = [each.error for each in guards.topics_as_kept(TABLE, found, KEPT, "/srv/lake")]
    assert "headrace offsets accept-loss --topic transactions" in raw.next_step
    assert "headrace backfill --seed-from /srv/lake" in log.next_step


def test_settings_that_lose_records_are_refused_and_others_answered_as_set() -> None:
    right = PIPELINE.scored.records.configs()
    compacted = {"transactions": {**right, "cleanup.policy": "compact"}}
    stamped = {"transactions": {**right, "message.timestamp.type": "CreateTime"}}
    short = {"transactions": {**right, "retention.ms": "3600000"}}
    for have in (compacted, stamped):
        assert codes(guards.topic_settings(TABLE, have, "warn")) == [("E_TOPIC_SETTINGS", True)]
    assert codes(guards.topic_settings(TABLE, short, "warn")) == [("E_TOPIC_RETENTION", False)]
    assert codes(guards.topic_settings(TABLE, short, "refuse")) == [("E_TOPIC_RETENTION", True)]
    assert codes(guards.topic_settings(TABLE, short, "ignore")) == []
    assert codes(guards.topic_settings(TABLE, {"transactions": right}, "refuse")) == []
    kept_for_ever = {"transactions": {**right, "retention.ms": "-1"}}
    assert codes(guards.topic_settings(TABLE, kept_for_ever, "refuse")) == []


@pytest.mark.parametrize(
    ("copies", "insync", "brokers", "fine"),
    [(3, 2, 3, True), (1, 1, 1, True), (1, 1, 3, False), (3, 1, 3, False), (3, 3, 3, False), (3, 2, 5, True)],
)
def test_copies_are_as_many_as_brokers_allow(copies: int, insync: int, brokers: int, fine: bool) -> None:
    wanted = guards.wanted_replication(GuardSettings(), brokers)
    found = guards.replication({"labels": TopicState("id", 4, copies)}, {"labels": insync}, wanted, "refuse")
    assert codes(found) == ([] if fine else [("E_TOPIC_REPLICATION", True)])


@pytest.mark.parametrize(("ahead_s", "expected"), [
    (0.1, []), (-2.5, [("E_CLOCK_APART", False)]), (3600.0, [("E_CLOCK_APART", True)]),
    (-300.0, [("E_CLOCK_APART", True)]),
])  # fmt: skip
def test_clocks_that_are_apart(ahead_s: float, expected: list[tuple[str, bool]]) -> None:
    assert codes(guards.clocks(ahead_s, GuardSettings())) == expected
    warned = codes(guards.clocks(ahead_s, GuardSettings(on_clock="warn")))
    assert warned == [(code, False) for code, _ in expected]


def test_a_replica_and_one_that_evicts_are_no_store() -> None:
    settings = GuardSettings()
    about = {"role": "slave", "maxmemory_policy": "allkeys-lru"}
    assert codes(guards.store(about, settings, "redis")) == [
        ("E_STORE_REPLICA", False), ("E_STORE_EVICTS", True),
    ]  # fmt: skip
    assert codes(guards.store({"role": "master", "maxmemory_policy": "noeviction"}, settings, "redis")) == []


def test_offsets_that_are_forgotten_soon_are_told() -> None:
    assert codes(guards.offsets_kept(60, GuardSettings())) == [("E_OFFSETS_KEPT", False)]
    for fine in (10_080, None):
        assert codes(guards.offsets_kept(fine, GuardSettings())) == []
