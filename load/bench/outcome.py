"""What a scenario reports, and how it becomes the stored JSON."""

import platform
import subprocess
import timeit
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import orjson

from load.bench.measure import Figures

RESULTS = Path(__file__).parents[1] / "results"
YARDSTICK_READS = 50_000
PAYMENT = (
    b'{"transaction_id":"t000000000001","event_time":1522540800000,"customer_id":"c00012345",'
    b'"terminal_id":"m0001234","amount_minor":12345,"currency":"EUR"}'
)
PACKAGES = ("confluent-kafka", "faust-streaming", "feast", "lightgbm", "numpy", "numba", "redis")


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of the whole, of its parts, of each peer, and headrace against each (above 1 is better).

    `more` holds what only this scenario has, by the names it has in the report.
    """

    figures: Figures
    seed: int
    parts: dict[str, Figures] = {}
    peers: dict[str, Figures] = {}
    ratios: dict[str, float] = {}
    more: dict[str, Any] = {}
    notes: list[str] = []


def as_json(scenario: str, outcome: Outcome, at: str) -> dict[str, Any]:
    """Return the report of a scenario run at the moment `at` (ISO)."""
    return {
        "scenario": scenario,
        "at": at,
        "figures": outcome.figures.as_json(),
        "parts": {name: part.as_json() for name, part in outcome.parts.items()},
        "peers": {name: peer.as_json() for name, peer in outcome.peers.items()},
        "ratios": {name: round(ratio, 2) for name, ratio in outcome.ratios.items()},
        **outcome.more,
        "notes": outcome.notes,
        "machine": machine(),
        "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "commit": commit(),
        "seed": outcome.seed,
        "command": f"headrace bench run {scenario}",
    }


def store(report: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Append the report to the scenario's file and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report['scenario']}.jsonl"
    with path.open("ab") as file:
        file.write(orjson.dumps(report) + b"\n")
    return path


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processor, cores, memory, system, and `yardstick_us`."""
    cpu = Path("/proc/cpuinfo").read_text().split("model name")
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "processor": cpu[1].split("\n")[0].strip(" \t:") if len(cpu) > 1 else platform.processor(),
        "cores": len(cpu) - 1,
        "memory_gib": round(memory_kib / 1024 / 1024, 1),
        "system": f"{platform.system()} {platform.release()}",
        "yardstick_us": round(yardstick_us(), 3),
    }


def yardstick_us() -> float:
    """Return what orjson takes to read one payment of W1, the best of some tries, in microseconds.

    One thread, no servers, nothing of ours: absolute figures of two machines compare by it.
    """
    tries = timeit.repeat(lambda: orjson.loads(PAYMENT), number=YARDSTICK_READS, repeat=5)
    return 1e6 * min(tries) / YARDSTICK_READS


def commit() -> str:
    """Return the short hash of the commit that is measured, `unknown` outside a clone."""
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False,
        cwd=Path(__file__).parent,
    )  # fmt: skip
    return done.stdout.strip() or "unknown"
