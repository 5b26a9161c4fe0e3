"""One chaos run from start to verdict."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from features.project.running import project_of_process
from headrace.traffic.observed import Observed
from headrace.traffic.producer import RecordProducer
from load.bench.quick_model import promote_quick_model
from load.chaos.asked import asked_at_rest
from load.chaos.bare import BarePair
from load.chaos.caller import Caller, name_of, unexcused
from load.chaos.collect import collect
from load.chaos.faults import chosen, draws
from load.chaos.input import Input, make_input
from load.chaos.models import promote_random_model
from load.chaos.plan import ChaosPlan
from load.chaos.project_input import make_project_input
from load.chaos.reader import Reader
from load.chaos.sender import Sender
from load.chaos.settle import settle
from load.chaos.site import Fault, Random, Site
from load.chaos.stack import ChaosStack
from load.oracle.dump import Answered, Dump, Record
from runtime.project_folder import INSTALLED

MODEL_ROWS, MODEL_TREES = 4_000, (20, 30)
WARM_RECORDS = 300  # through the whole before the load begins
SOON_S = 0.25  # payments sent within this of a fault are those that feel it
LEFT_S = 3.0  # of load, that a fault may still be proven to have struck while input remained
READ_ON_S = 0.5  # what comes after the last prediction would be a duplicate
GAP_S = (0.3, 2.5)
ARMED = "armed"
SEEN = ("swallowed", "stopped", "api_wrong", "not_cured")  # what the driver itself may find
_FAULTS = 102  # the seed's branch of the faults


Tell = Callable[[str], None]


class Strike(NamedTuple):
    """A fault proven to have struck while input remained, and the records [first, behind) that felt it.

    Those are the records from the strike until a moment after the fault's cause was over.
    """

    name: str
    lasted_s: float
    first: int
    behind: int
    began_s: float
    over_s: float


class Struck(NamedTuple):
    """A fault, how long its cause lasted, and the longest wait of a payment of that time.

    `bare_s` is the longest wait of a bare pair of Kafka clients in the same time.
    """

    name: str
    lasted_s: float
    waited_s: float
    bare_s: float | None = None


class Outcome(NamedTuple):
    """What a run gave: the dump to judge, and what the driver saw."""

    dump: Dump
    struck: list[Struck]
    facts: dict[str, Any]


class ChaosRun:
    """Drives one plan on a stack."""

    def __init__(self, plan: ChaosPlan, stack: ChaosStack, tell: Tell) -> None:
        self._plan, self._stack, self._tell = plan, stack, tell
        self._rng = np.random.default_rng([plan.seed, _FAULTS])
        self._given, project = given_of(plan), project_of_process()
        self._observed = Observed.of(self._given.payment_ids(), project)
        self._sender = Sender(
            RecordProducer(stack.kafka), stack.run.topic_prefix, self._given.records, plan.rate, WARM_RECORDS
        )
        self._site = Site(
            stack, stack.folder / ARMED, lambda: self._sender.sent, self._observed.through,
            lambda: len(self._observed.dead_letters), self._observed.models.__getitem__, self._excuse,
        )  # fmt: skip
        self._caller = Caller(stack.run, self._given.payments())
        self._bare = BarePair(stack.kafka)
        self._reader = Reader(project.pipeline, stack.kafka, stack.run.topic_prefix, self._observed)
        self._unproven: Counter[str] = Counter()
        self._stalled = ""

    def run(self) -> Outcome:
        """Send and strike, come to rest, stop, and collect what is there.

        A run that stands still is not struck again; it is judged as it is, and `stalled` says after what.

        Raises:
            ClusterError: a worker ended in a way that nothing cures.
        """
        stack = self._stack
        self._tell("two models")
        for trees in MODEL_TREES:
            if self._given.made is not None:
                promote_quick_model(stack.run.models, self._given.made, MODEL_ROWS, trees)
            else:
                promote_random_model(stack.run.models, trees, self._plan.seed)
        self._tell("workers")
        stack.start_workers()
        self._reader.start()
        self._sender.start()
        self._caller.start()
        self._bare.start()
        answers: list[Answered] = []
        try:
            self._is_through(self._sender.payments_among(WARM_RECORDS), "the first payments")
            strikes = self._load()
            self._is_through(self._sender.payments_sent, "the last payments")
            self._tell("coming to rest")
            if settle(stack, self._reader, self._given.newest_ms(self._sender.sent)):
                answers = asked_at_rest(stack, self._caller, self._given)
            else:
                self._stalled = self._stalled or "the last payments"
            self._caller.stop()
            restarts = stack.supervisor.restarts
            stack.stop_workers()
            time.sleep(READ_ON_S)
        finally:
            self._sender.end()
            self._caller.stop()
            self._bare.stop()
            self._reader.stop()
        self._tell("collecting and judging")
        struck = [self._struck(strike) for strike in strikes]
        return Outcome(collect(stack, self._reader.seen, answers), struck, self._facts(restarts))

    def _load(self) -> list[Strike]:
        """Send the load and strike meanwhile."""
        self._tell(f"load: {len(self._given.records):,} records, {self._plan.rate:g} a second")
        self._sender.go()
        strikes = list(islice(self._strikes(), self._plan.faults_max))
        if self._plan.faults_max is not None or self._stalled:
            self._sender.end()
        patience_s = self._sender.left_s + self._plan.patience_s
        self._stack.until(lambda: not self._sender.is_alive(), patience_s)
        self._raise_failures()
        return strikes

    def _strikes(self) -> Iterator[Strike]:
        for name, fault, rng in draws(chosen(self._plan.faults), self._rng):
            self._stack.let_pass(float(rng.uniform(*GAP_S)))
            if self._sender.left_s < LEFT_S or self._stalled:
                return
            strike = self._strike(name, fault, rng)
            if strike is not None:
                yield strike

    def _strike(self, name: str, fault: Fault, rng: Random) -> Strike | None:
        self._site.strike()
        proven = fault(self._site, rng)
        began_s = self._site.struck_s
        lasted_s = time.monotonic() - began_s
        if not proven or not self._sender.unsent:
            self._unproven[name] += 1
            return None
        behind = self._sender.sent + int(SOON_S * self._plan.rate)
        self._stack.until(
            lambda: self._sender.sent >= behind or not self._sender.unsent, self._plan.patience_s
        )
        strike = Strike(
            name, lasted_s, self._site.first_record, min(behind, self._sender.sent), began_s, time.monotonic()
        )
        if self._is_through(self._sender.payments_among(strike.behind), name):
            struck = self._struck(strike)
            self._tell(f"{name}: lasted {lasted_s:.1f} s, a payment waited {struck.waited_s:.1f} s at most")
        return strike

    def _is_through(self, payments: int, what: str) -> bool:
        """Wait until the first `payments` have their prediction or letter."""

        def through() -> bool:
            self._raise_failures()
            return self._observed.through() >= payments

        if self._stack.until(through, self._plan.patience_s):
            return True
        self._stalled = self._stalled or what
        self._tell(
            f"{self._observed.through()} of {payments} payments are through after {what}; going no further"
        )
        return False

    def _struck(self, strike: Strike) -> Struck:
        """Return the longest wait among the payments that felt a fault; what never came waited until now."""
        rows = slice(*(self._sender.payments_among(at) for at in (strike.first, strike.behind)))
        readable_s = self._observed.readable_s(rows)
        waits_s = readable_s - self._sender.payments_sent_s(rows)
        bare_s = self._bare.longest_wait_s(strike.began_s, strike.over_s)
        return Struck(strike.name, strike.lasted_s, float(np.nanmax(waits_s, initial=0.0)), bare_s)

    def _excuse(self, records: list[Record]) -> None:
        """Wait for no outcome of raw records that were deleted."""
        for record in records:
            slot = self._observed.slot_of.get(name_of(record.value))
            if slot is not None:
                self._observed.done[slot] = True

    def _raise_failures(self) -> None:
        for failure in (self._sender.failure, self._reader.failure, self._bare.failure):
            if failure is not None:
                raise failure

    def _facts(self, restarts: dict[str, int]) -> dict[str, Any]:
        ends = self._stack.ends
        api_ends_s = [end.at_s for end in ends if end.worker == "serve"]
        for what in unexcused(self._caller.wrong, api_ends_s):
            self._site.find("api_wrong", what)
        return {
            **{name: self._site.found[name] for name in SEEN},
            "seen": self._site.examples,
            "ends": dict(sorted(Counter(end.summary for end in ends).items())),
            "api_answers": dict(sorted(self._caller.answers.items())),
            "sent": self._sender.sent, "stalled": self._stalled, "restarts": restarts,
            "unproven": dict(self._unproven),
            "rebalances": self._site.rebalances, "code_points": self._site.code_points,
            "longest_silence_s": round(self._reader.longest_silence_s, 2),
        }  # fmt: skip


def given_of(plan: ChaosPlan) -> Input:
    """Return what a run of this process's project is given to eat."""
    project = project_of_process()
    return make_input(plan) if project.folder == INSTALLED else make_project_input(plan, project)


def run_chaos(
    plan: ChaosPlan, folder: Path, environment: Mapping[str, str] | None = None, tell: Tell = print
) -> Outcome:
    """Run a plan on servers and workers of its own under `folder`; the folder stays, for its logs.

    Args:
        environment: variables for the workers alone.
        tell: hears what goes on.

    Raises:
        ConfigError: E_CHAOS_FAULT, before anything is started.
    """
    chosen(plan.faults)
    tell("servers")
    armed = {"HEADRACE_CRASH_AT": f"@{folder / ARMED}"}
    with ChaosStack(folder, plan.partitions, {**armed, **(environment or {})}) as stack:
        return ChaosRun(plan, stack, tell).run()
