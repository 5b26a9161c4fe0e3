"""Walks one payment from the gate's input to the bytes of its prediction, and counts what it passes.

Run by `tools.shape.record` as a script of its own in the checkout that is measured, so nothing of `tools` is
imported here; when names of the service change, this is the file to change. The parts are the service's own
cores, one after the other in one process, with the simulation's store and a model that was really trained:
no broker, no worker around the cores. A first payment warms what is made once; a second is followed.

- modules, functions: those of ours that are entered, kernels that Numba compiled as one each however many
  they call inside; comprehensions are part of their function.
- representations: classes of ours of which an instance is handed to a function of ours or comes back from
  it, alone or inside lists and dictionaries, and holds the payment's id somewhere inside. Objects that were
  there before the payment (cores, state) are none. Plain dictionaries of columns are one representation,
  bytes are one for each kind of bytes (JSON of one first key, frames). A matrix of values holds no id and is
  not counted.
"""

import gc
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from load.this_project import PIPELINE, PROJECT
from streams.stage.definition import stage_of

ROOT = Path.cwd()
ID = b"shape-walk-4711"
DEPTH = 5
TIME_MS = 1_700_000_000_000


class Tracer:
    """A profile function: notes entered functions and what carries the payment."""

    def __init__(self, rooms: tuple[str, ...], before: dict[int, object]) -> None:
        self._folders = tuple(f"{ROOT}/{room}/" for room in rooms)
        self._rooms, self._before = rooms, before
        self.functions: set[str] = set()
        self.modules: set[str] = set()
        self.carriers: set[str] = set()

    def __call__(self, frame: Any, event: str, given: Any) -> None:
        code = frame.f_code
        if event not in ("call", "return") or not code.co_filename.startswith(self._folders):
            return
        module = Path(code.co_filename).relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        self.modules.add(module)
        if code.co_name == "<lambda>" or not code.co_name.startswith("<"):
            self.functions.add(f"{module}:{code.co_qualname}:{code.co_firstlineno}")
        if event == "return":
            self._note(given, DEPTH)
            return
        for name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
            self._note(frame.f_locals.get(name), DEPTH)

    def _note(self, thing: Any, depth: int) -> bool:
        """Note every class of ours in it that carries the payment; return whether it does itself."""
        if isinstance(thing, bytes | str | np.ndarray | np.bytes_):
            carries = holds(thing)
            if carries and isinstance(thing, bytes) and len(thing) > len(ID):
                self.carriers.add(kind_of_bytes(thing))
            return carries
        if depth == 0 or id(thing) in self._before or isinstance(thing, type):
            return False
        found = [self._note(part, depth - 1) for part in parts_of(thing, self._rooms)]
        if any(found):
            kind = type(thing)
            if is_ours(kind, self._rooms):
                self.carriers.add(f"{kind.__module__}.{kind.__qualname__}")
            elif isinstance(thing, dict) and all(isinstance(part, np.ndarray) for part in thing.values()):
                self.carriers.add("dictionary of columns")
        return any(found)


def is_ours(kind: type, rooms: tuple[str, ...]) -> bool:
    """Return whether a class is defined in a room."""
    return str(kind.__module__).partition(".")[0] in rooms


def holds(thing: Any) -> bool:
    """Return whether bytes, text or an array of bytes contain the payment's id."""
    if isinstance(thing, np.ndarray):
        return thing.dtype.kind == "S" and bool((thing == ID).any())
    return (ID.decode() if isinstance(thing, str) else ID) in thing


def kind_of_bytes(data: bytes) -> str:
    """Return the name of a kind of bytes."""
    if data[:1] == b"{":
        return f"bytes of JSON, {next(iter(json.loads(data)))} first"
    return f"bytes that begin with {data[:4]!r}"


def parts_of(thing: Any, rooms: tuple[str, ...]) -> list[Any]:
    """Return what a container or an instance of a class of ours holds."""
    if isinstance(thing, dict):
        return [*thing, *thing.values()]
    if isinstance(thing, list | tuple):
        return list(thing)
    if not is_ours(type(thing), rooms):
        return []
    names = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    found = [getattr(thing, name, None) for name in names if isinstance(name, str)]
    found += [getattr(thing, name, None) for name in getattr(thing, "__struct_fields__", ())]
    return found + list(getattr(thing, "__dict__", {}).values())


def payment(number: int, transaction_id: bytes) -> tuple[int, int, int, bytes, bytes, None]:
    """Return a raw record as the gate's consumer hands it over."""
    value = {
        "transaction_id": transaction_id.decode(), "event_time": TIME_MS + number, "customer_id": "c1",
        "terminal_id": "t1", "amount_minor": 1250, "currency": "EUR",
    }  # fmt: skip
    return (0, number, TIME_MS + number, b"c1", json.dumps(value).encode(), None)


class Cores:
    """The service's cores in a row, for one partition each."""

    def __init__(self) -> None:
        from inference.models.manifest import Manifest
        from inference.models.model import LightGbmModel
        from inference.policy.policy import read_policy
        from inference.policy.watch import FixedPolicy
        from inference.reading.breaker import Breaker
        from inference.reading.served import FeatureServer
        from inference.scorer.core import ScorerCore
        from streams.gate.core import GateCore
        from streams.stage.core import Marker, StageCore
        from streams.stage.definition import StageDefinition
        from tests.simulation.store import SimReader, SimStore
        from tests.simulation.world import World
        from tests.unit.inference.support import EPOCH, StillClock, trained_text

        old = "dict" in str(GateCore.__init__.__annotations__["partitions"])
        partitions: Any = {"events.customer": 1, "events.terminal": 1} if old else 1
        self.gate = GateCore(PIPELINE, partitions)
        self.gate.assign("transactions", 0, 0)
        self.definitions = [
            StageDefinition(stage_of(PROJECT, name), "", 1) for name in ("customer", "terminal")
        ]
        start = Marker(input_offset=0, lanes={}, definitions_hash="")
        self.stages = [StageCore(one.source(0), one.rows(0), start) for one in self.definitions]
        self.store: Any = SimStore(World(1), None)  # type: ignore[arg-type]
        self.epoch, self.lanes = EPOCH, dict[str, int]()
        manifest = {
            "name": "fraud", "version": "1", "definitions_hash": "", "features": [],
            "sha256": {"model.txt": "a" * 64},
        }  # fmt: skip
        model = LightGbmModel(trained_text(), msgspec.convert(manifest, Manifest))
        models: Any = type("Models", (), {"current": lambda self: model})()
        server = FeatureServer(PROJECT, SimReader(self.store, PROJECT), Breaker(250.0), EPOCH, 100)
        policy = FixedPolicy(read_policy(PROJECT.policy_path, PROJECT))
        self.scorer = ScorerCore(PROJECT, server, models, StillClock(), EPOCH, policy)

    def walk(self, number: int, transaction_id: bytes) -> bytes:
        """Return the prediction of one payment."""
        from contracts.raw import RawBatch
        from tests.simulation.store import SimCodec

        gated = self.gate.process("transactions", RawBatch.of([payment(number, transaction_id)]))
        data = gated.records[0].value or b""
        for definition, stage in zip(self.definitions, self.stages, strict=True):
            step = stage.batch([(number, data)])
            for rows in step.store_rows:
                self.store.write(*SimCodec(definition.entity.name).encode(*rows[:4], self.epoch, None))
            ((_, data),) = step.records
        (prediction,) = self.scorer.score(self.accepted(data), TIME_MS).predictions
        return prediction

    def accepted(self, data: bytes) -> Any:
        """Return the rows of a record of features.log, read as the scorer reads it."""
        from contracts.lanes import accept
        from features.meaning import meanings_of
        from inference.reading.feature_rows import columns_needed, for_scoring, scoring_columns

        try:
            from contracts.frame_check import FrameReader

            frame = FrameReader("features.log", PIPELINE, columns_needed(PIPELINE)).read(data, self.lanes)
        except ImportError:  # a checkout from before the check of frames
            from contracts.frame import decode

            frame = decode(data)
        rows = accept(frame, self.lanes, lambda frame: None)
        return for_scoring(rows, scoring_columns(PIPELINE), meanings_of(PROJECT.entities))


def main() -> None:
    """Print what the walk passed, as JSON."""
    rooms = tuple(sys.argv[1].split(","))
    path = Cores()
    for number in range(2):
        path.walk(number, b"warm-%d" % number)
    gc.collect()
    before = {id(thing): thing for thing in gc.get_objects() if is_ours(type(thing), rooms)}
    tracer = Tracer(rooms, before)
    sys.setprofile(tracer)
    try:
        prediction = path.walk(2, ID)
    finally:
        sys.setprofile(None)
    if json.loads(prediction)["event_id"] != ID.decode():
        raise AssertionError("this is no prediction of the payment")
    found = {name: sorted(getattr(tracer, name)) for name in ("modules", "functions", "carriers")}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
