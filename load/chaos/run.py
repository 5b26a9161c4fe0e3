"""One chaos run from start to verdict."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from contracts.errors import ClusterError
from load.bench.quick_model import promote_quick_model
from load.chaos.collect import collect
from load.chaos.faults import Fault, Random, Site, chosen, draws
from load.chaos.input import make_input
from load.chaos.plan import ChaosPlan
from load.chaos.reader import Reader
from load.chaos.sender import Sender
from load.chaos.settle import settle
from load.chaos.stand import Stand
from load.observed import Observed
from load.oracle.dump import Dump
from load.producer import Outbox

MODEL_ROWS, MODEL_TREES = 4_000, 30
WARM_RECORDS = 300  # through the whole before the load begins
RECOVERY_TIMEOUT_S = 90.0
SOON_S = 0.25  # payments sent within this of a fault are those that feel it
LEFT_S = 3.0  # of load, that a fault may still be proven to have struck while input remained
READ_ON_S = 0.5  # what comes after the last prediction would be a duplicate
GAP_S = (0.3, 2.5)
ARMED = "armed"
_FAULTS = 102  # the seed's branch of the faults


Tell = Callable[[str], None]


class Struck(NamedTuple):
    """A fault that was proven to have struck while input remained."""

    name: str
    at_s: float
    lasted_s: float
    recovered_s: float


class Outcome(NamedTuple):
    """What a run gave: the dump to judge, and what the driver saw."""

    dump: Dump
    struck: list[Struck]
    facts: dict[str, Any]


class ChaosRun:
    """Drives one plan on a stand."""

    def __init__(self, plan: ChaosPlan, stand: Stand, tell: Tell) -> None:
        self._plan, self._stand, self._tell = plan, stand, tell
        self._rng = np.random.default_rng([plan.seed, _FAULTS])
        self._given = make_input(plan)
        self._observed = Observed.of(self._given.payment_ids())
        self._site = Site(stand, stand.folder / ARMED)
        self._sender = Sender(
            Outbox(stand.kafka), stand.run.topic_prefix, self._given.records, plan.rate, WARM_RECORDS
        )
        self._reader = Reader(stand.kafka, stand.run.topic_prefix, self._observed)
        self._unproven: Counter[str] = Counter()

    def run(self) -> Outcome:
        """Send and strike, come to rest, stop, and collect what is there.

        Raises:
            ClusterError: E_CHAOS_STALLED, E_CHAOS_RESTLESS, or a worker ended in a way that nothing cures.
        """
        stand = self._stand
        self._tell("a first model")
        promote_quick_model(stand.run.models, self._given.made, MODEL_ROWS, MODEL_TREES)
        self._tell("workers")
        stand.start_workers()
        self._reader.start()
        self._sender.start()
        try:
            self._await_through(self._sender.payments_among(WARM_RECORDS), "the first payments")
            self._tell(f"load: {len(self._given.records):,} records, {self._plan.rate:g} a second")
            self._sender.go()
            struck = list(islice(self._strikes(), self._plan.faults_max))
            if self._plan.faults_max is not None:
                self._sender.end()
            stand.until(lambda: not self._sender.is_alive(), self._sender.left_s + RECOVERY_TIMEOUT_S)
            self._raise_failures()
            self._await_through(self._sender.payments_sent, "the last payments")
            self._tell("coming to rest")
            settle(stand, self._reader.newest)
            restarts = stand.supervisor.restarts
            stand.stop_workers()
            time.sleep(READ_ON_S)
        finally:
            self._sender.end()
            self._reader.stop()
        self._tell("collecting and judging")
        return Outcome(collect(stand, self._reader.seen), struck, self._facts(restarts))

    def _strikes(self) -> Iterator[Struck]:
        for name, fault, rng in draws(chosen(self._plan.faults), self._rng):
            self._stand.let_pass(float(rng.uniform(*GAP_S)))
            if self._sender.left_s < LEFT_S:
                return
            struck = self._strike(name, fault, rng)
            if struck is not None:
                yield struck

    def _strike(self, name: str, fault: Fault, rng: Random) -> Struck | None:
        at_s, sent_before = time.monotonic(), self._sender.sent
        proven = fault(self._site, rng)
        lasted_s = time.monotonic() - at_s
        if not proven or not self._sender.unsent:
            self._unproven[name] += 1
            return None
        touched = sent_before + int(SOON_S * self._plan.rate)
        self._stand.until(lambda: self._sender.sent >= touched, RECOVERY_TIMEOUT_S)
        self._await_through(self._sender.payments_among(touched), name)
        struck = Struck(name, at_s, lasted_s, time.monotonic() - at_s)
        self._tell(f"{name}: lasted {lasted_s:.1f} s, predictions caught up after {struck.recovered_s:.1f} s")
        return struck

    def _await_through(self, payments: int, what: str) -> None:
        """Wait until the first `payments` have their prediction or letter."""

        def through() -> bool:
            self._raise_failures()
            return self._observed.through() >= payments

        if not self._stand.until(through, RECOVERY_TIMEOUT_S):
            found = (
                f"{self._observed.through()} of {payments} payments are through {RECOVERY_TIMEOUT_S:.0f} s"
            )
            raise ClusterError(
                "E_CHAOS_STALLED", f"{found} after {what}", str(self._stand.run.logs), "read the logs there"
            )

    def _raise_failures(self) -> None:
        for failure in (self._sender.failure, self._reader.failure):
            if failure is not None:
                raise failure

    def _facts(self, restarts: dict[str, int]) -> dict[str, Any]:
        return {
            "sent": self._sender.sent, "restarts": restarts, "unproven": dict(self._unproven),
            "rebalances": self._site.rebalances, "code_points": self._site.code_points,
            "longest_silence_s": round(self._reader.longest_silence_s, 2),
        }  # fmt: skip


def run_chaos(
    plan: ChaosPlan, folder: Path, environment: Mapping[str, str] | None = None, tell: Tell = print
) -> Outcome:
    """Run a plan on servers and workers of its own under `folder`; the folder stays, for its logs.

    Args:
        environment: variables for the workers alone.
        tell: hears what goes on.
    """
    tell("servers")
    armed = {"HEADRACE_CRASH_AT": f"@{folder / ARMED}"}
    with Stand(folder, plan.partitions, {**armed, **(environment or {})}) as stand:
        return ChaosRun(plan, stand, tell).run()
