"""The table of scenarios: name, what it measures, what runs it."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import msgspec

from contracts.errors import ConfigError
from headrace.servers import Servers
from load.bench.outcome import Outcome

Runner = Callable[[Path, Servers], Outcome]


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario; its module is imported only when it runs."""

    name: str
    about: str
    module: str
    function: str = "run"
    servers: bool = True
    rated: bool = False  # takes the rate, in events a second

    def runner(self) -> Callable[..., Outcome]:
        """Return the function that runs it."""
        found: Callable[..., Outcome] = getattr(import_module(self.module), self.function)
        return found

    def asked(self, rate: float | None) -> dict[str, float]:
        """Return what the runner is given beside the servers.

        Raises:
            ConfigError: E_BENCH_RATE, the scenario has no rate.
        """
        if rate is None:
            return {}
        if not self.rated:
            raise ConfigError("E_BENCH_RATE", "this scenario has no rate", self.name, "leave --rate out")
        return {"rate": rate}


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        name="w1", about="windows on gate and customer stage, beside Faust, Quix Streams and Bytewax",
        module="load.bench.w1.scenario",
    ),
    Scenario(
        name="w1-json", about="the same with one JSON record an event, as the peers send",
        module="load.bench.w1.scenario", function="run_json",
    ),
    Scenario(
        name="state", about="memory of a million customers, and of one whose windows are full",
        module="load.bench.state", servers=False,
    ),
    Scenario(
        name="restore", about="a take-over from a changelog of a million customers",
        module="load.bench.restore",
    ),
    Scenario(
        name="growth", about="cost of an event as keys, windows and partitions grow",
        module="load.bench.growth",
    ),
    Scenario(
        name="label-alignment", about="where labels stand when the card data is replayed from files",
        module="load.bench.label_alignment", servers=False,
    ),
    Scenario(name="gate", about="JSON judged and sent on as record batches", module="load.bench.gate"),
    Scenario(
        name="features", about="windows of the customer entity, in memory", module="load.bench.features",
        servers=False,
    ),
    Scenario(
        name="store-write", about="rows into Redis, beside the floor and Feast's push",
        module="load.bench.store", function="run_write",
    ),
    Scenario(
        name="store-read", about="rows out of Redis, beside the floor and get_online_features",
        module="load.bench.store", function="run_read",
    ),
    Scenario(
        name="scorer", about="decisions a CPU-second on a full feature log, beside the plain consumer",
        module="load.bench.scoring", function="run_scorer",
    ),
    Scenario(
        name="release-cost", about="what a shadow, a canary, reasons and drift cost the scorer",
        module="load.bench.release_cost",
    ),
    Scenario(
        name="release", about="a bad canary and a rollback under load: how long, how many decisions",
        module="load.bench.release",
    ),
    Scenario(
        name="pipeline", about="payment sent to prediction readable, everything on this machine",
        module="load.bench.scoring", function="run_pipeline",
    ),
    Scenario(
        name="latency", about="payment due to prediction read, open loop at 2,000 a second, by hop",
        module="load.bench.latency", rated=True,
    ),
    Scenario(
        name="drift", about="detectors on streams with known changes: delay, misses, false alarms, CPU",
        module="load.bench.drift.scenario", servers=False,
    ),
    Scenario(
        name="serve", about="the HTTP door, 100 requests a second beside 1,000 payments a second",
        module="load.bench.serve", rated=True,
    ),
)  # fmt: skip


def scenario(name: str) -> Scenario:
    """Return a scenario by name.

    Raises:
        ConfigError: E_BENCH_NAME, there is none of that name.

    >>> scenario("features").servers
    False
    """
    found = next((one for one in SCENARIOS if one.name == name), None)
    if found is None:
        known = ", ".join(one.name for one in SCENARIOS)
        raise ConfigError("E_BENCH_NAME", "no such scenario", name, f"choose one of {known}")
    return found
