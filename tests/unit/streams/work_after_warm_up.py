"""A process that warms the stages up, works as they do, and says which kernels met a kind of argument anew.

`python -m tests.unit.streams.work_after_warm_up [cold]`: one name a line; `cold` leaves the warm-up out.
"""

import sys

import numpy as np
from numba.core.registry import CPUDispatcher

from contracts.frame import Kind, decode, length, strings
from contracts.lanes import LaneWriter, accept
from features.feast_row import RowWriterCodec
from features.feast_tiles import TilesView, arguments
from features.finalise import Finaliser
from features.state import EntityState
from load.this_project import CUSTOMER, PROJECT, TERMINAL
from streams.stage.core import Marker, StageCore
from streams.stage.definition import StageDefinition, stage_of
from streams.stage.warm_up import warm_up
from tests.unit.streams.payments import events, gate_log, label_rows

DAY_MS = 86_400_000
START_MS = 1_700_000_000_000
ROOMS = ("contracts", "features", "streams")


def kernels() -> dict[str, int]:
    """Return how many kinds of arguments each compiled function has met, by its full name."""
    found = {}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ROOMS:
            for made in vars(module).values():
                if isinstance(made, CPUDispatcher):
                    found[f"{made.py_func.__module__}.{made.py_func.__name__}"] = len(made.signatures)
    return found


def work() -> None:
    """Do what stages and readers do, in sizes that make tables, arenas and blocks grow and be swept."""
    customer = StageCore("events.customer/0", definition("customer").rows(0), start())
    terminal = StageCore("events.terminal/0", definition("terminal").rows(0), start())
    rng, offset, lanes = np.random.default_rng(5), 0, {}
    labels = LaneWriter("labels/0", 0)
    for part in range(4):
        rows = events(rng, 4_000, first_id=4_000 * part, start_ms=START_MS + part * 70 * DAY_MS)
        names = [f"c{i}" for i in rng.integers(0, 3_000, 4_000)]
        rows["customer_id"] = strings(names)
        for at, data in enumerate(gate_log(rows, 20)):
            made = customer.batch([(20 * part + at, data)])
            for _, out in made.records:
                frame = decode(out)
                if length(accept(frame, lanes, lambda _: None)):
                    terminal.batch([(offset, out)])
                    offset += 1
        some = label_rows(rows, 3)
        upto = int(some["pos"].max()) + 1
        for _, data in labels.emit(Kind.LABEL, some, np.zeros(length(some), np.int32), upto):
            terminal.batch([(offset, data)])
            offset += 1
    for name, core in (("customer", customer), ("terminal", terminal)):
        store(name, core)


def store(name: str, core: StageCore) -> None:
    """Checkpoint, take over, write rows for the store and read from their tiles."""
    entity = CUSTOMER if name == "customer" else TERMINAL
    again = definition(name).rows(0)
    snapshot = core.snapshot()
    again.load({key: blob for key, blob in snapshot.entries if blob is not None}, snapshot.marker.extra)
    rows = again.latest()
    assert rows.tiles is not None
    arguments(np.zeros((len(rows.keys), 4), np.uint8), rows.tiles.packed)
    codec = RowWriterCodec(
        "p", entity.join_key, [(v.name, v.columns) for v in entity.views], TilesView.of(entity)
    )
    codec.encode(rows.keys, rows.values, rows.event_time_ms, rows.positions, 1, rows.tiles)
    packed = rows.tiles.packed.tolist()[:500]
    now_ms = rows.event_time_ms[:500] + DAY_MS
    Finaliser(entity).at_until(packed, now_ms)
    pending = events(np.random.default_rng(1), len(packed))
    Finaliser(entity).with_pending(packed, {**pending, "pos": np.arange(len(packed))}, Kind.SCORED)
    state = EntityState(entity)
    state.load(rows.keys.tolist(), rows.tiles.packed.tolist())
    state.valid_until_ms(rows.keys, rows.event_time_ms)


def definition(name: str) -> StageDefinition:
    """Return a stage with one partition behind it."""
    return StageDefinition(stage_of(PROJECT, name), "", 1)  # type: ignore[arg-type]  # one of the two names


def start() -> Marker:
    """Return the marker of a stage that has seen nothing."""
    return Marker(input_offset=0, lanes={}, definitions_hash="")


if __name__ == "__main__":
    if sys.argv[1:] != ["cold"]:
        for stage in ("customer", "terminal"):
            warm_up(definition(stage))
    before = kernels()
    work()
    after = kernels()
    print("\n".join(sorted(name for name, number in after.items() if number != before.get(name, 0))))
