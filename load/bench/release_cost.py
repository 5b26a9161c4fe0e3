"""Scenario `release-cost`: what a shadow, a canary, reasons and drift cost the scorer, and which of them.

The feature log and the store are filled by the real workers; then one process scores the same rows again
and again, bare and with each part on, in turns, so that a neighbour's load meets all of them alike. Reading
the store, rules and writing predictions are in every figure; Kafka's transaction, about 1 µs a decision on
top of each, is not.
"""

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from contracts.connections import KafkaConnection, RedisConnection
from contracts.frame import Columns, Kind, concat, decode, length, take
from contracts.lanes import accept
from feature_repo.generate import workload
from features.meaning import meanings_of
from headrace.servers import Servers
from inference.drift.events import DriftEvent
from inference.models.model import Model
from inference.policy.policy import read_policy
from inference.policy.watch import FixedPolicy
from inference.reading.breaker import Breaker
from inference.reading.feature_rows import for_scoring, scoring_columns
from inference.reading.online_reader import RedisFeatureReader
from inference.reading.served import FeatureServer
from inference.reading.settings import ReaderSettings
from inference.release.canary import Breach, CanaryGuard
from inference.release.champion import definitions_of, load_champion
from inference.release.live import Live, LiveCanary, staged
from inference.release.registry import Registry
from inference.release.settings import CanarySettings
from inference.scorer.core import ScorerCore
from load.bench.apart import apart
from load.bench.measure import Figures, Meter
from load.bench.outcome import Outcome
from load.bench.quick_model import TREES, promote_quick_model
from load.bench.scoring import payments, ready, send
from load.bench.stack import BenchStack
from load.this_project import PROJECT
from runtime.clock import SystemClock

EVENTS = 100_000
BATCH_ROWS = 2_000
ROUNDS = 3
SHARE_PERCENT = 10.0
QUIET_S = 10.0


class Variant(NamedTuple):
    """Which parts are on."""

    shadow: bool = False
    canary: bool = False
    reasons: bool = False
    drift: bool = False


VARIANTS = {
    "bare": Variant(),
    "with a shadow": Variant(shadow=True),
    "with reasons": Variant(reasons=True),
    "with drift": Variant(drift=True),
    "with shadow, reasons and drift": Variant(shadow=True, reasons=True, drift=True),
    "and a canary of 10 percent": Variant(shadow=True, canary=True, reasons=True, drift=True),
}
FULL = "with shadow, reasons and drift"


class Site(NamedTuple):
    """Where the measuring process finds everything."""

    kafka: KafkaConnection
    redis: RedisConnection
    models: Path
    topic: str
    project: str
    epoch: int


def run(root: Path, servers: Servers) -> Outcome:
    """Fill the log and the store, then measure every variant on the same rows."""
    made = payments(EVENTS)
    with BenchStack(root, servers, "release-cost") as stack:
        _two_models(stack.run.models, made)
        stack.start(("gate",), ("stream", "customer"), ("stream", "terminal"))
        send(stack, ready(made))
        for group, topics in (("gate", ["transactions"]), ("stage-customer", ["events.customer"])):
            stack.await_group(group, stack.ends(topics))
        stack.await_group("stage-terminal", stack.ends(["events.terminal"]))
        site = Site(
            stack.kafka, stack.redis, stack.run.models, stack.topic("features.log"), stack.run.project,
            stack.run.epoch,
        )  # fmt: skip
        measured = apart(measure, site)
    parts = {name: Figures(**figures) for name, figures in measured.items()}
    bare = parts["bare"].events_per_cpu_s
    us = {name: 1e6 / part.events_per_cpu_s for name, part in parts.items()}
    return Outcome(
        figures=parts[FULL],
        parts=parts,
        ratios={"bare": parts[FULL].events_per_cpu_s / bare},
        more={
            "us_over_bare": {
                name: round(cost - us["bare"], 2) for name, cost in us.items() if name != "bare"
            },
            "ratio_to_bare": {name: round(part.events_per_cpu_s / bare, 3) for name, part in parts.items()},
        },
        seed=workload("bank").seed,
        notes=[
            f"medians of {ROUNDS} rounds over {EVENTS:,} rows, batches of {BATCH_ROWS:,}, CPU time",
            "shadow and canary are as large as the champion: 100 trees of 15 leaves",
        ],
    )


def measure(site: Site) -> dict[str, dict[str, Any]]:
    """Return each variant's figures; runs in a process of its own."""
    batches = list(_batches(site))
    rows = sum(length(batch) for batch in batches)
    reader = RedisFeatureReader(PROJECT, site.redis, site.project, ReaderSettings())
    models = _models(site)
    took: dict[str, list[Figures]] = {name: [] for name in VARIANTS}
    for number in range(ROUNDS + 1):
        for name, variant in VARIANTS.items():
            core = _core(site, reader, models, variant)  # detectors that saw no round before
            meter = Meter()
            for batch in batches:
                core.score(batch, 0.0)
            if number:  # the first round compiles and fills caches
                took[name].append(meter.read(rows))
    reader.close()
    return {name: msgspec.to_builtins(_median(figures)) for name, figures in took.items()}


def _median(figures: list[Figures]) -> Figures:
    return Figures(
        events=figures[0].events,
        wall_s=statistics.median(one.wall_s for one in figures),
        cpu_s=statistics.median(one.cpu_s for one in figures),
        peak_rss_mib=max(one.peak_rss_mib for one in figures),
    )


class _Set:
    """Models that are set."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def current(self) -> Model | None:
        """Return the champion."""
        return self._live.champion

    def live(self) -> Live:
        """Return all."""
        return self._live


class _NoDrift:
    """Detectors that are off."""

    def model_is(self, *_about: object) -> list[DriftEvent]:
        """Note nothing."""
        return []

    def feed(self, *_batch: object) -> list[DriftEvent]:
        """Find nothing."""
        return []

    def take_skipped(self) -> dict[str, int]:
        """Skip nothing."""
        return {}


class _Counts:
    """A keeper that only counts, as nothing may change while it is measured."""

    def withdraw(self, canary: LiveCanary, breach: Breach) -> None:
        """A canary that is withdrawn would be measured no more.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(f"{canary.model.identity.version}: {breach}")

    def grow(self, canary: LiveCanary, share_percent: float) -> None:
        """Stay as it is."""

    def count(self, version_id: str, scores: int, errors: int) -> None:
        """Count nowhere."""


def _models(site: Site) -> tuple[Model, Model]:
    """Return the champion and the model that is tried."""
    registry, definitions = Registry(site.models), definitions_of(PROJECT)
    retired = next(entry for entry in registry.entries() if entry.stage != "champion")
    pointers = registry.find("champion").pointer, retired.pointer
    champion, other = (load_champion(site.models, pointer, definitions) for pointer in pointers)
    return champion, other


def _core(
    site: Site, reader: RedisFeatureReader, models: tuple[Model, Model], variant: Variant
) -> ScorerCore:
    champion, other = models
    live = Live(
        champion,
        LiveCanary(staged(other, "canary"), SHARE_PERCENT, 0) if variant.canary else None,
        (staged(other, "shadow"),) if variant.shadow else (),
    )
    declared = read_policy(PROJECT.policy_path, PROJECT)
    if not variant.reasons:
        reasons = msgspec.structs.replace(declared.policy.reasons, rows_max=0)
        policy = msgspec.structs.replace(declared.policy, reasons=reasons)
        declared = msgspec.structs.replace(declared, policy=policy)
    server = FeatureServer(PROJECT, reader, Breaker(), site.epoch, 100_000)
    guard = (
        CanaryGuard(CanarySettings(), _Counts(), PROJECT.decisions)
        if variant.shadow or variant.canary
        else None
    )
    core = ScorerCore(PROJECT, server, _Set(live), SystemClock(), site.epoch, FixedPolicy(declared), guard)
    if not variant.drift:
        core.drift = _NoDrift()  # type: ignore[assignment]  # the scorer itself has no switch for it
    return core


def _two_models(models: Path, made: Any) -> None:
    """Make two models of one size; the second is champion."""
    promote_quick_model(models, made, trees=TREES + 1)
    promote_quick_model(models, made, trees=TREES)


def _batches(site: Site) -> Iterator[Columns]:
    """Yield the feature log's rows in batches, as the scorer takes them."""
    consumer = Consumer(
        site.kafka.librdkafka() | {"group.id": f"{site.topic}-cost", "enable.auto.commit": False}
    )
    consumer.assign([TopicPartition(site.topic, 0, OFFSET_BEGINNING)])
    _, end = consumer.get_watermark_offsets(TopicPartition(site.topic, 0), timeout=QUIET_S)
    columns, meanings = scoring_columns(PROJECT.pipeline), meanings_of(PROJECT.entities)
    lanes, parts = dict[str, int](), list[Columns]()
    for _ in range(end):
        message = consumer.poll(QUIET_S)
        if message is None:
            break
        frame = decode(message.value() or b"")
        rows = accept(frame, lanes, lambda _: None)
        if frame.kind == Kind.SCORED and length(rows):
            parts.append(for_scoring(rows, columns, meanings))
    consumer.close()
    whole = concat(parts)
    for begin in range(0, length(whole), BATCH_ROWS):
        yield take(whole, slice(begin, begin + BATCH_ROWS))
