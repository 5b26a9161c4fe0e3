"""The HTTP door on real servers: what it says is what the definition says, and what the stream says next."""

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import redis as redis_py
import requests
from confluent_kafka import Producer

from contracts import topics
from contracts.connections import KafkaConnection
from contracts.frame import Kind
from features.definition import DAY_MS, HOUR_MS, Entity
from features.feast_format import entity_key, field_name
from features.feast_tiles import TilesView
from headrace import topics_admin
from headrace.supervisor import Supervisor
from load.oracle.windows import KeyOracle, times
from load.this_project import CUSTOMER, ENTITIES, PIPELINE, SERVICE, TERMINAL
from runtime.run import Run
from tests.integration.door import Caller, open_door
from tests.integration.request_time_store import same_bits
from tests.integration.scorer_harness import Subscriber
from tests.integration.stage_log import accepted, read_topic
from tests.real_servers import RealServers
from tests.unit.inference.support import promote, trained_text, write_model
from tests.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

PAYMENTS, LABELS, KEYS = 600, 120, 25
BEGIN_MS = 1_700_000_000_000
END_MS = BEGIN_MS + 40 * DAY_MS
WORKERS = (("gate",), ("stream", "customer"), ("stream", "terminal"), ("score",))


class Streamed(NamedTuple):
    """A run whose workers are up and have taken a history in, and a door beside them."""

    run: Run
    kafka: KafkaConnection
    redis: "redis_py.Redis[bytes]"
    caller: Caller
    subscriber: Subscriber
    oracles: dict[str, dict[bytes, KeyOracle]]


@pytest.fixture(scope="module")
def streamed(servers: RealServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Streamed]:
    folder = tmp_path_factory.mktemp("serve")
    run = Run.create(folder, f"s{secrets.token_hex(3)}", redis_db=505)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HEADRACE_ROOT", str(folder))
        environment.setenv("HEADRACE_RUN", str(run.home))
        environment.setenv("HEADRACE_BOOTSTRAP_SERVERS", servers.bootstrap_servers)
        environment.setenv("HEADRACE_REDIS_URL", f"{servers.redis_url}/{run.redis_db}")
        kafka = KafkaConnection(bootstrap_servers=servers.bootstrap_servers)
        client = redis_py.Redis.from_url(f"{servers.redis_url}/{run.redis_db}")
        client.flushdb()
        topics_admin.ensure(kafka, run.topic_prefix)
        promote(run.models, "1", write_model(run.models, "1", trained_text()))
        supervisor = Supervisor(run, WORKERS)
        subscriber = Subscriber(run, kafka)
        try:
            supervisor.start()
            publish(run, kafka, *history())
            subscriber.until(PAYMENTS, quiet_s=0.5)
            until(
                lambda: labels_in(run, kafka) == LABELS, timeout_s=60, what="all labels are in", every_s=0.5
            )
            with open_door(run) as caller:
                yield Streamed(run, kafka, client, caller, subscriber, oracles(run, kafka))
        finally:
            subscriber.close()
            supervisor.stop()
            topics_admin.delete(kafka, run.topic_prefix)


def history() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return payments of forty days and labels of some; a third of the keys fall silent early."""
    rng = np.random.default_rng(4)
    payments = []
    for number, at_ms in enumerate(np.sort(rng.integers(BEGIN_MS, END_MS, PAYMENTS)).tolist()):
        who = int(rng.integers(0, KEYS if at_ms < BEGIN_MS + 20 * DAY_MS else KEYS * 2 // 3))
        payments.append(
            payment(number, at_ms, who, int(rng.integers(0, KEYS)), int(rng.integers(100, 90_000)))
        )
    labels = [
        {
            "transaction_id": one["transaction_id"], "customer_id": one["customer_id"],
            "terminal_id": one["terminal_id"], "label": "fraud" if number % 3 == 0 else "legitimate",
            "event_time": one["event_time"], "label_time": one["event_time"] + DAY_MS, "source": "chargeback",
        }
        for number, one in enumerate(payments[-LABELS * 2 : -LABELS])
    ]  # fmt: skip
    return payments, labels


def payment(number: int, at_ms: int, customer: int, terminal: int, amount_minor: int) -> dict[str, Any]:
    return {
        "transaction_id": f"t{number}", "event_time": at_ms, "customer_id": f"c{customer}",
        "terminal_id": f"m{terminal}", "amount_minor": amount_minor, "currency": "EUR",
    }  # fmt: skip


def publish(
    run: Run, kafka: KafkaConnection, payments: list[dict[str, Any]], labels: list[dict[str, Any]]
) -> None:
    producer = Producer({**kafka.librdkafka(), "enable.idempotence": True, "linger.ms": 1})
    for topic, key, rows in (
        (PIPELINE.scored.records, "customer_id", payments),
        (PIPELINE.labels[0].records, "transaction_id", labels),
    ):  # fmt: skip
        for row in rows:
            producer.produce(topic.full_name(run.topic_prefix), json.dumps(row).encode(), row[key].encode())
    assert producer.flush(30) == 0


def labels_in(run: Run, kafka: KafkaConnection) -> int:
    log = read_topic(kafka, topics.FEATURES_LOG.full_name(run.topic_prefix))
    parts = [part for records in log.values() for part in accepted(records)]
    return sum(len(part["pos"]) for part in parts if "positive" in part)


def oracles(run: Run, kafka: KafkaConnection) -> dict[str, dict[bytes, KeyOracle]]:
    """Return the definition of every key after all of its rows, in each stage's own durable order."""
    found: dict[str, dict[bytes, KeyOracle]] = {entity.name: {} for entity in ENTITIES}
    for topic, entity in (
        (PIPELINE.stage_inputs["customer"], CUSTOMER),
        (PIPELINE.stage_inputs["terminal"], TERMINAL),
    ):
        for records in read_topic(kafka, topic.full_name(run.topic_prefix)).values():
            for part in accepted(records):
                kind = Kind.LABEL if "label" in part else Kind.SCORED
                if kind not in times(entity):  # rows of a source that nobody here reads pass
                    continue
                names = [name for name in part if part[name].ndim == 1]
                for values in zip(*(part[name].tolist() for name in names), strict=True):
                    row = dict(zip(names, values, strict=True))
                    key = row[entity.join_key]
                    found[entity.name].setdefault(key, KeyOracle(entity)).row(kind, row)
    return found


def group(answer: dict[str, Any], entity: Entity) -> list[float | None]:
    return [answer[entity.name]["values"][name] for name in entity.columns]


MOMENTS = {
    "before the last event": END_MS - 2 * DAY_MS,
    "at the end": END_MS,
    "an hour and a hop later": END_MS + HOUR_MS + 5 * 60_000,
    "past the day": END_MS + 26 * HOUR_MS,
    "past the week": END_MS + 8 * DAY_MS + 1,
    "past all windows": END_MS + 40 * DAY_MS,
}


@pytest.mark.parametrize("when", MOMENTS)
def test_features_are_the_definition_at_that_moment(streamed: Streamed, when: str) -> None:
    now_ms = MOMENTS[when]
    names = [(f"c{i}", f"m{i}") for i in range(KEYS + 1)]
    questions = [{"customer_id": c, "terminal_id": m, "now_ms": now_ms} for c, m in names]
    answer = streamed.caller.post("/features/batch", {"questions": questions})
    assert answer.status == 200
    for (customer, terminal), found in zip(names, answer.body["answers"], strict=True):
        assert not found["degraded"], found
        for entity, key in ((CUSTOMER, customer), (TERMINAL, terminal)):
            oracle = streamed.oracles[entity.name].get(key.encode(), KeyOracle(entity))
            assert same_bits(group(found, entity), oracle.at(now_ms)), (key, when)
            assert found[entity.name]["status"] == "exact"


def test_values_hold_until_valid_until_and_change_then(streamed: Streamed) -> None:
    checked = 0
    for number in range(KEYS):
        asked = {"terminal_id": f"m{number}", "now_ms": END_MS + HOUR_MS}
        first = streamed.caller.post("/features", asked).body["terminal"]
        until_ms = first["valid_until_ms"]
        if until_ms is None:
            continue
        before = streamed.caller.post("/features", {**asked, "now_ms": until_ms - 1}).body["terminal"]
        then = streamed.caller.post("/features", {**asked, "now_ms": until_ms}).body["terminal"]
        assert first["values"] == before["values"] != then["values"]
        assert first["age_ms"] == asked["now_ms"] - first["newest_event_ms"]
        checked += 1
    assert checked > KEYS // 2


def test_a_pending_payment_is_scored_as_the_stream_scores_it_next(streamed: Streamed) -> None:
    """Each is asked of the door first and published then: known keys, a new one, one silent for weeks."""
    keys = [(0, 1), (3, 2), (KEYS - 1, 5), (900, 901)]
    for number, (customer, terminal) in enumerate(keys):
        pending = payment(10_000 + number, END_MS + (number + 1) * HOUR_MS, customer, terminal, 4_321)
        said = streamed.caller.post("/score", pending)
        assert said.status == 200, said.body
        seen = len(streamed.subscriber.seen)
        assert streamed.caller.post("/score", pending).body["score"] == said.body["score"]  # nothing written
        publish(streamed.run, streamed.kafka, [pending], [])
        prediction = streamed.subscriber.until(seen + 1, quiet_s=0.2)[-1]
        assert prediction.event_id == pending["transaction_id"] == said.body["event_id"]
        values = said.body["features"]["values"]
        assert len(values) == len(SERVICE.columns)
        assert same_bits(values, list(prediction.features.values)), (customer, terminal)
        assert said.body["score"] == prediction.score is not None
        for name in ("risk_band", "decision", "decided_by", "degraded"):
            assert said.body[name] == getattr(prediction, name)
        assert said.body["rules"] == [
            {"id": rule.id, "version": rule.version, "outcome": rule.outcome} for rule in prediction.rules
        ]
        assert [reason["code"] for reason in said.body["reasons"]] == [one.code for one in prediction.reasons]
        assert said.body["pending"] is True
        assert not {"prediction_id", "source"} & said.body.keys()


def test_pending_payments_of_one_batch_do_not_see_each_other(streamed: Streamed) -> None:
    pending = [payment(20_000 + n, END_MS + 3 * DAY_MS, 2, 3, 1_000) for n in range(3)]
    together = streamed.caller.post("/score/batch", {"transactions": pending}).body["answers"]
    alone = [streamed.caller.post("/score", one).body for one in pending]
    assert [one["features"]["values"] for one in together] == [one["features"]["values"] for one in alone]


def test_a_planted_fault_is_seen(streamed: Streamed) -> None:
    """Proves the comparisons above: another key's tiles under this key are another answer."""
    view = TilesView.of(CUSTOMER)
    mine, other = (entity_key(streamed.run.project, "customer_id", key) for key in (b"c1", b"c2"))
    packed = field_name(view.name, view.packed)
    good, wrong = streamed.redis.hget(mine, packed), streamed.redis.hget(other, packed)
    assert isinstance(good, bytes)
    assert isinstance(wrong, bytes)
    asked = {"customer_id": "c1", "now_ms": END_MS}
    try:
        streamed.redis.hset(mine, packed, wrong)
        found = group(streamed.caller.post("/features", asked).body, CUSTOMER)
    finally:
        streamed.redis.hset(mine, packed, good)
    expected = streamed.oracles["customer"][b"c1"].at(END_MS)
    assert not same_bits(found, expected)
    assert same_bits(group(streamed.caller.post("/features", asked).body, CUSTOMER), expected)


def test_tiles_that_cannot_be_read_are_null_and_flagged(streamed: Streamed) -> None:
    view = TilesView.of(CUSTOMER)
    key = entity_key(streamed.run.project, "customer_id", b"c1")
    packed = field_name(view.name, view.packed)
    good = streamed.redis.hget(key, packed)
    assert isinstance(good, bytes)
    for bad in (b"\x0a\x0bhello world", b"\xff\xff", None):
        try:
            streamed.redis.hset(key, packed, bad) if bad else streamed.redis.hdel(key, packed)
            found = streamed.caller.post("/features", {"customer_id": "c1"}).body
            scored = streamed.caller.post("/score", payment(30_000, END_MS, 1, 1, 500)).body
        finally:
            streamed.redis.hset(key, packed, good)
        assert set(found["customer"]["values"].values()) == {None}, bad
        assert found["customer"]["status"] == "default"
        assert found["degraded_why"] == ["store_row_unreadable"]
        assert scored["degraded_why"] == ["store_row_unreadable", "score_failed"]
        assert (scored["decision"], scored["decided_by"]) == ("review", "fallback")


def test_a_key_that_is_missing_while_the_store_is_filled_is_not_called_new(streamed: Streamed) -> None:
    """The stages' sentinel says that rows may be missing; without it a lost key would look like a new one."""
    asked = {"customer_id": "nobody"}
    assert not streamed.caller.post("/features", asked).body["degraded"]
    name = f"headrace:{streamed.run.project}:sentinel"
    fields = streamed.redis.hgetall(name)
    assert len(fields) == 2 * topics.PARTITIONS
    whole = fields[b"customer/0"]

    def is_refilled() -> bool:
        return streamed.redis.hgetall(name) == fields

    streamed.redis.hset(name, "customer/0", b"refill:0:" + whole)
    found = streamed.caller.post("/features", asked).body
    assert found["degraded_why"] == ["store_row_unreadable"]
    assert not streamed.caller.post("/features", {"customer_id": "c1"}).body["degraded"]  # its row is there
    until(is_refilled, timeout_s=30, what="the stage has filled the store again")


def test_bad_requests_are_refused_with_a_code(streamed: Streamed) -> None:
    post = streamed.caller.post
    good = payment(40_000, END_MS, 1, 1, 500)
    cases: list[tuple[str, Any, int, str]] = [
        ("/score", b"", 400, "E_DECODE_EMPTY"),
        ("/score", b"{", 400, "E_DECODE_JSON"),
        ("/score", b"\xff\xfe", 400, "E_DECODE_UTF8"),
        ("/score", b"[1]", 400, "E_DECODE_NOT_OBJECT"),
        ("/score", b"[" * 50_000, 400, "E_DECODE_DEPTH"),
        ("/score", {**good, "amount_minor": -1}, 422, "E_CONTRACT_RANGE"),
        ("/score", {**good, "amount_minor": "5"}, 422, "E_CONTRACT_TYPE"),
        ("/score", {**good, "event_time": 5}, 422, "E_TIME_RANGE"),
        ("/score", {**good, "event_time": int(time.time() * 1000) + DAY_MS}, 422, "E_TIME_FUTURE"),
        ("/score", {**good, "currency": "XXXX"}, 422, "E_CONTRACT_ENUM"),
        ("/score", {k: v for k, v in good.items() if k != "customer_id"}, 422, "E_CONTRACT_MISSING"),
        ("/score", b"x" * (2 << 20), 413, "E_SERVE_BODY"),
        ("/score/batch", {"transactions": []}, 422, "E_SERVE_ROWS"),
        ("/score/batch", {"transactions": [good] * 257}, 413, "E_SERVE_ROWS"),
        ("/score/batch", {"payments": [good]}, 400, "E_SERVE_BATCH"),
        ("/features", {}, 422, "E_SERVE_KEYS"),
        ("/features", {"customer_id": None}, 422, "E_SERVE_KEYS"),
        ("/features", {"customer_id": 7}, 422, "E_CONTRACT_TYPE"),
        ("/features", {"customer_id": "c" * 65}, 422, "E_CONTRACT_LENGTH"),
        ("/features", {"customer_id": "c1", "now_ms": 1.5}, 422, "E_TIME_FORMAT"),
        ("/features", {"customer_id": "c1", "as_of": 5}, 422, "E_SERVE_FIELD"),
        ("/features", b'{"customer_id":"c1","customer_id":"c2"}', 400, "E_DECODE_DUPKEY"),
        ("/nothing", {}, 404, "E_SERVE_PATH"),
    ]
    for path, body, status, code in cases:
        found = post(path, body)
        assert (found.status, found.code) == (status, code), (path, str(body)[:80], found.body)
        assert set(found.body["error"]) == {"code", "what", "where", "next"}
    assert post("/score", good).status == 200


def test_a_batch_refuses_its_bad_rows_alone(streamed: Streamed) -> None:
    good, bad = payment(50_000, END_MS, 1, 1, 500), {"transaction_id": "x"}
    scored = streamed.caller.post("/score/batch", {"transactions": [bad, good, bad]})
    assert scored.status == 200
    assert [one.get("error", {}).get("code") for one in scored.body["answers"]] == [
        "E_CONTRACT_MISSING", None, "E_CONTRACT_MISSING",
    ]  # fmt: skip
    questions = {"questions": [{"customer_id": "c1"}, {}, {"terminal_id": "m1"}]}
    found = streamed.caller.post("/features/batch", questions).body["answers"]
    assert ["error" in one for one in found] == [False, True, False]
    assert "terminal" not in found[0]
    assert "customer" not in found[2]


def test_only_who_has_the_token_may_ask(streamed: Streamed) -> None:
    caller = streamed.caller
    for token in ("", "wrong", caller.token[:-1], "ü"):
        found = caller.post(
            "/features", {"customer_id": "c1"}, Authorization=f"Bearer {token}".encode().decode("latin-1")
        )
        assert (found.status, found.code) == (401, "E_SERVE_TOKEN")
    assert caller.get("/score", Authorization=f"Bearer {caller.token}").code == "E_SERVE_METHOD"
    health = caller.get("/health").body
    assert (health["status"], health["store"], health["model"]) == ("ok", "ok", "fraud/1")
    token_file = streamed.run.home / "serve" / "token"
    assert token_file.stat().st_mode & 0o077 == 0


def test_bytes_that_are_no_http_end_their_connection_alone(streamed: Streamed) -> None:
    import socket

    host, _, port = streamed.caller.address.removeprefix("http://").partition(":")
    for rubbish in (
        b"\x16\x03\x01\x02\x00",
        b"GET\r\n\r\n",
        b"POST /score HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    ):
        with socket.create_connection((host, int(port)), 5) as line:
            line.sendall(rubbish)
            line.settimeout(5)
            line.shutdown(socket.SHUT_WR)
            line.recv(4096)
    assert streamed.caller.post("/features", {"customer_id": "c1"}).status == 200


def test_the_champion_is_taken_up_live(streamed: Streamed) -> None:
    pending = payment(60_000, END_MS, 1, 1, 500)
    before = streamed.caller.post("/score", pending).body
    promote(streamed.run.models, "2", write_model(streamed.run.models, "2", trained_text(seed=2)))

    def version() -> str:
        return str(streamed.caller.post("/score", pending).body["model"]["version"])

    until(lambda: version() == "2", timeout_s=30, what="the second model scores", every_s=0.2)
    assert before["model"]["version"] == "1"
    assert streamed.caller.post("/score", pending).body["score"] != before["score"]


def test_the_exporter_counts_what_was_asked(streamed: Streamed) -> None:
    streamed.caller.post("/features", {"customer_id": "c1"})
    port = json.loads((streamed.run.ports / "serve.json").read_text())["port"]
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text
    assert 'headrace_serve_requests_total{path="/features",status="200"}' in text
    assert 'headrace_serve_model_info{name="fraud"' in text
