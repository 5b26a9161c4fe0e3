"""`headrace backfill --warm`: a stopped stage's state under new definitions, handed over at its last marker.

What the state is made of comes from the lake alone, so the lake must hold all rows below the hand-over. It
does once every reader behind the stage has read to the end: each later stage its input, then the archive
`features.log`.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import pyarrow.parquet as pq

from contracts import topics
from features.project.running import RunningProject
from inference.offline.backfill.executors import Executor
from inference.offline.backfill.run import Options, states
from inference.offline.lake.beginning import clock_of
from inference.offline.lake.lake import Lake
from streams.stage.definition import StageDefinition, stage_of
from streams.stage.hand_over import Barrier, HandOver
from streams.stage.settings import StageSettings

Tell = Callable[[str], None]


class Warmed(msgspec.Struct, kw_only=True):
    """One stage's outcome: keys handed over, and by partition the input offset to go on from."""

    keys: int = 0
    offsets: dict[int, int] = {}
    changed: bool = False


class Place(NamedTuple):
    """Where states are handed over: a project's run, and how long its lake may take to be whole."""

    project: RunningProject
    settings: StageSettings
    lake: Lake
    wait_s: float


def warm(
    stages: Sequence[str], place: Place, options: Options, on: Executor, tell: Tell
) -> dict[str, Warmed]:
    """Hand over every stage whose state is of other definitions than the project's now.

    Raises:
        ClusterError: E_WARM_RUNNING, E_WARM_BEHIND, E_TOPIC_MISSING, E_STORE_DOWN.
        StateError: E_WARM_INCOMPLETE.
        Stop: E_TAKE_OVER, E_CHECKPOINT.
    """
    found: dict[str, Warmed] = {}
    project, settings = place.project, place.settings
    for name in (name for name in project.pipeline.chain.names if name in stages):
        definition = StageDefinition.of(stage_of(project, name), settings)
        stage = HandOver(definition, settings, tell)
        try:
            found[name] = warmed = Warmed(changed=stage.is_changed(), offsets={})
            if not warmed.changed:
                tell(f"{name}: the state is of these definitions already")
                continue
            stage.fence()
            _await_lake(name, place, tell)
            _replace(stage, place.lake, options, on, tell, warmed)
        finally:
            stage.close()
    return found


def _replace(stage: HandOver, lake: Lake, options: Options, on: Executor, tell: Tell, warmed: Warmed) -> None:
    below = {partition: held.below for partition, held in stage.held.items()}
    with states(lake, stage.definition.entity, below, options, on, tell) as made:
        for partition, held in stage.held.items():
            path = made.folder / f"{partition}.parquet"
            clock = clock_of(pq.read_schema(path)) if path.exists() else b""
            warmed.keys += stage.replace(partition, _states(path), clock)
            warmed.offsets[partition] = held.marker.input_offset
            tell(
                f"{stage.definition.name}/{partition}: goes on from input offset {held.marker.input_offset:,}"
            )


def _states(path: Path) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield key and packed state of a partition's keys."""
    if path.exists():
        for batch in pq.ParquetFile(path).iter_batches(1024):
            yield from zip(batch.column("key").to_pylist(), batch.column("state").to_pylist(), strict=True)


def _await_lake(name: str, place: Place, tell: Tell) -> None:
    """Wait until the lake holds every row that the stage has let go."""
    chain, settings = place.project.pipeline.chain, place.settings
    prefix, barrier = settings.topic_prefix, Barrier(settings.kafka, place.wait_s, tell)
    try:
        for after in chain.names[chain.named(name).place + 1 :]:
            behind = StageDefinition.of(stage_of(place.project, after), settings)
            advice = f"start `headrace stream {after}` (of the code that made its state), then run this again"
            barrier.passed(behind.group, behind.input_topic, advice)
        log = topics.FEATURES_LOG.full_name(prefix)
        barrier.passed(f"{prefix}archive", log, "start `headrace archive`, then run this again")
    finally:
        barrier.close()
