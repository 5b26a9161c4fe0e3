"""Scenario `release`: a canary that is bad on purpose, and a champion that is rolled back, both under load.

Payments come in an open loop through all workers. How long a change takes is told by the decisions
themselves: from the moment the command had it in the registry to the last decision (`scored_at`) that was
still made by the model that should not decide any more. Every payment is counted by its id.
"""

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from feature_repo.generate import workload
from headrace.servers import Servers
from headrace.traffic.input_files import Record
from headrace.traffic.producer import RecordProducer
from inference.models.manifest import GOLDEN_FILE, MODEL_FILE, Golden, digest
from inference.release.registry import Change, Entry, Registry
from load.bench.measure import Meter
from load.bench.outcome import Outcome
from load.bench.quick_model import promote_quick_model
from load.bench.scoring import WORKERS, payments, ready
from load.bench.stack import BenchStack
from load.peers.progress import TopicCount

RATE = 1_000.0
WARM_S, CANARY_S, ROLLBACK_S = 15.0, 30.0, 10.0
SLICE = 100
SHARE_PERCENT = 5.0
TIMEOUT_S = 120.0
SCORED_HIGH = 0.97  # a log-odds of 3.5, whatever the payment


def run(root: Path, servers: Servers) -> Outcome:
    """Measure both on one run."""
    events = int(RATE * (WARM_S + CANARY_S + 2 * ROLLBACK_S))
    made = payments(events)
    with BenchStack(root, servers, "release") as stack:
        registry = Registry(stack.run.models)
        old = registry.find(promote_quick_model(stack.run.models, made, trees=101))
        new = registry.find(promote_quick_model(stack.run.models, made))
        bad = _bad_on_purpose(registry, new)
        stack.start(*WORKERS)
        count = TopicCount(stack.kafka, stack.topic("predictions"), keep=True)
        meter = Meter()
        with _load(stack, [record for part in ready(made) for record in part]) as sender:
            _pass(WARM_S, count)
            moments = {"canary": time.time() * 1000}
            registry.promote(bad.id, _change(), "canary", share_percent=SHARE_PERCENT)
            _until(lambda: registry.release().canary is None, CANARY_S, count)
            _pass(ROLLBACK_S, count)
            moments["rollback"] = time.time() * 1000
            registry.rollback(_change())
            moments["rolled back"] = time.time() * 1000
            sender.join()
        count.wait(events, TIMEOUT_S)
        figures = meter.read(events)
        predictions = [orjson.loads(value) for value in count.values]
        count.close()
        withdrawn = next(row for row in registry.audit() if row["action"] == "canary_withdrawn")
    return Outcome(
        figures=figures,
        more={
            "rate": RATE,
            **_accounts(predictions, events),
            "canary": _canary(predictions, bad, withdrawn, moments),
            "rollback": _rollback(predictions, (old, new), moments),
        },
        seed=workload("bank").seed,
        notes=[
            f"the canary says {SCORED_HIGH} of every payment, for {SHARE_PERCENT:g} % of the customers",
            "seconds are from the registry's change to the last decision that it should have ended",
        ],
    )


def _accounts(predictions: list[dict[str, Any]], events: int) -> dict[str, int]:
    """Return what was lost, doubled or left without a score."""
    ids = Counter(one["prediction_id"] for one in predictions)
    return {
        "payments": events,
        "predictions": len(predictions),
        "lost": events - len(ids),
        "doubled": sum(1 for number in ids.values() if number > 1),
        "unscored": sum(1 for one in predictions if "score" not in one),
    }


def _canary(
    predictions: list[dict[str, Any]], bad: Entry, withdrawn: dict[str, Any], moments: dict[str, float]
) -> dict[str, Any]:
    touched = [one["scored_at"] for one in predictions if one["model"]["version"] == bad.version]
    return {
        "decisions_touched": len(touched),
        "first_decision_after_s": round((min(touched) - moments["canary"]) / 1000, 3),
        "last_decision_after_first_s": round((max(touched) - min(touched)) / 1000, 3),
        "withdrawn_after_first_s": round((withdrawn["at_ms"] - min(touched)) / 1000, 3),
        "guardrail": withdrawn["why"],
    }


def _rollback(
    predictions: list[dict[str, Any]], pair: tuple[Entry, Entry], moments: dict[str, float]
) -> dict[str, Any]:
    old, new = pair
    by_new = [one["scored_at"] for one in predictions if one["model"]["version"] == new.version]
    by_old = [one["scored_at"] for one in predictions if one["model"]["version"] == old.version]
    return {
        "command_ms": round(moments["rolled back"] - moments["rollback"], 1),
        "first_by_the_old_after_ms": round(min(by_old) - moments["rollback"], 1),
        "last_by_the_new_after_ms": round(max(by_new) - moments["rollback"], 1),
    }


def _bad_on_purpose(registry: Registry, like: Entry) -> Entry:
    """Add a version that is sure of every payment: another's trees, each leaf at the same log-odds."""
    text = registry.file(like, MODEL_FILE).decode()
    trees = len(re.findall(r"^leaf_value=", text, flags=re.MULTILINE))
    text = re.sub(
        r"^leaf_value=.*$",
        lambda found: "leaf_value=" + " ".join([f"{3.5 / trees:.17g}"] * len(found[0].split())),
        text, flags=re.MULTILINE,
    )  # fmt: skip
    text = _with_sizes(text)
    vectors = orjson.loads(registry.file(like, GOLDEN_FILE))["vectors"]
    golden = Golden(vectors=vectors, scores=_scores(text, vectors), text_sha256=digest(text.encode()))
    files = {MODEL_FILE: text.encode(), GOLDEN_FILE: _encoded(golden)}
    about = {k: v for k, v in registry.manifest(like).items() if k not in ("name", "version", "sha256")}
    return registry.add("bench", files, about, _change())


def _with_sizes(text: str) -> str:
    """Return the text with its tree_sizes as its trees are."""
    head, _, trees = text.partition("Tree=0\n")
    body = "Tree=0\n" + trees[: trees.index("end of trees")]
    begins = [found.start() for found in re.finditer(r"^Tree=\d+$", body, flags=re.MULTILINE)]
    sizes = [end - begin for begin, end in zip(begins, [*begins[1:], len(body)], strict=True)]
    sized = re.sub(r"^tree_sizes=.*$", "tree_sizes=" + " ".join(map(str, sizes)), head, flags=re.MULTILINE)
    return sized + "Tree=0\n" + trees


def _scores(text: str, vectors: list[list[float | None]]) -> list[float]:
    import lightgbm
    import numpy as np

    rows = np.array(vectors, dtype=np.float64)
    found: list[float] = np.asarray(lightgbm.Booster(model_str=text).predict(rows, num_threads=1)).tolist()
    return found


def _encoded(golden: Golden) -> bytes:
    return orjson.dumps(
        {"vectors": golden.vectors, "scores": golden.scores, "text_sha256": golden.text_sha256}
    )


def _change() -> Change:
    return Change(who="bench", at_ms=time.time_ns() // 1_000_000, why="a benchmark")


@contextmanager
def _load(stack: BenchStack, records: list[Record]) -> Iterator[threading.Thread]:
    """Send at a steady rate in a thread of its own while the block runs."""
    producer = RecordProducer(stack.kafka, linger_ms=1.0)
    begin_s = time.monotonic()

    def send() -> None:
        for at in range(0, len(records), SLICE):
            time.sleep(max(0.0, begin_s + at / RATE - time.monotonic()))
            producer.send(stack.topic("transactions"), records[at : at + SLICE])
        producer.flush()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield thread
    finally:
        thread.join()
        producer.close()


def _pass(seconds: float, count: TopicCount) -> None:
    deadline_s = time.monotonic() + seconds
    while time.monotonic() < deadline_s:
        count.take(0.05)


def _until(done: Any, patience_s: float, count: TopicCount) -> None:
    deadline_s = time.monotonic() + patience_s
    while not done():
        if time.monotonic() > deadline_s:
            raise TimeoutError("the canary is still there")
        count.take(0.02)
