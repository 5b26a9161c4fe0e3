"""One side of `load.bench.paired`: workers of the checkout in the current folder, asked for a slot at a time.

It also runs in older checkouts, so it asks for little, by the names of then and of now. A line in asks for a
slot; a line out is what it cost: CPU seconds by part.
"""

import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from load.bench.measure import TreeMeter
from load.bench.w1.backlog import Backlog

Slices = Iterator[Any]
WARM_UP = 20_000
SETTLE_S = 1.5  # a checkpoint, so that none of the slot before falls into this one
TIMEOUT_S = 300.0


def _first(*names: str) -> Any:
    """Return the first of the modules that this checkout has."""
    return importlib.import_module(next(name for name in names if importlib.util.find_spec(name)))


scoring, headrace_run = _first("load.bench.scoring"), _first("load.bench.w1.headrace_run")
place = _first("load.bench.stack", "load.bench.stand")
Stack = getattr(place, "BenchStack", None) or place.Stand


def main() -> None:
    """Answer a line a slot until standard input ends."""
    work, events, slots = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with tempfile.TemporaryDirectory() as root, place.local_servers(Path(root)) as servers:
        {"pipeline": pipeline, "w1": w1}[work](Path(root), servers, events, slots)


def pipeline(root: Path, servers: Any, events: int, slots: int) -> None:
    """Everything from payment to prediction, labels not among it."""
    made = scoring.payments(WARM_UP + slots * events)
    slices = slices_of(made)
    with Stack(root, servers, "paired") as stack:
        scoring.promote_quick_model(stack.run.models, made)
        pids = stack.start(*scoring.WORKERS)
        count = scoring.TopicCount(stack.kafka, stack.topic("predictions"))
        sent = WARM_UP
        scoring.send(stack, list(islice(slices, WARM_UP // scoring.SLICE_EVENTS)))
        count.wait(sent, TIMEOUT_S)
        for _ in asked():
            parts = list(islice(slices, events // scoring.SLICE_EVENTS))
            sent += events

            def through(parts: Any = parts, sent: int = sent) -> None:
                scoring.send(stack, parts)
                count.wait(sent, TIMEOUT_S)

            answer({**pids, **stack.server_pids}, through)
        count.close()


def w1(root: Path, servers: Any, events: int, slots: int) -> None:
    """The gate's and the customer stage's processes on a backlog."""
    plan = replace(headrace_run.workload("w1"), events=WARM_UP + slots * events)
    slices = slices_of(headrace_run.generate(plan))
    with Stack(root, servers, "paired") as stack:
        pids = {
            **stack.start(("gate",)),
            "stage": stack.start_module(
                "stream-customer", *headrace_run.Asked().command,
                HEADRACE_STAGE_RECORDS_UNACKNOWLEDGED_MAX="100000",
            ),
        }  # fmt: skip

        def backlog(count: int) -> Backlog:
            hidden = Backlog(stack.kafka, stack.topic("transactions"))
            for part in islice(slices, count // scoring.SLICE_EVENTS):
                hidden.add(part)
            hidden.hide()
            return hidden

        def through(hidden: Backlog) -> None:
            ends = stack.ends(["transactions"])
            hidden.show()
            headrace_run._await(stack, ends)

        through(backlog(WARM_UP))
        for _ in asked():
            hidden = backlog(events)
            answer(pids, lambda hidden=hidden: through(hidden))


def slices_of(made: Any) -> Slices:
    """Yield the payments' records a slice at a time, and keep none."""
    if kept := getattr(scoring, "payments_of", None):
        records = kept(made)
    else:
        records = scoring.TableRecords(made.transactions, "customer_id", "event_time", made.deliver_ms)
    for begin in range(0, made.transactions.num_rows, scoring.SLICE_EVENTS):
        yield records.slice(begin, begin + scoring.SLICE_EVENTS)


def asked() -> Iterator[str]:
    """Say that the side is ready, and yield a line for every slot that it is asked for."""
    _say({"ready": True})
    yield from sys.stdin


def answer(pids: dict[str, int], run: Any) -> None:
    """Run a slot between two settled moments and print what each part used."""
    time.sleep(SETTLE_S)
    meters = {name: TreeMeter([pid]) for name, pid in pids.items()}
    began_s = time.monotonic()
    run()
    wall_s = time.monotonic() - began_s
    time.sleep(SETTLE_S)
    cpu_s = {name: meter.read(1).cpu_s for name, meter in meters.items()}
    _say({"cpu_s": cpu_s, "wall_s": wall_s})


def _say(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
