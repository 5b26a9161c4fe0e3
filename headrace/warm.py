"""`headrace backfill --warm`: a stopped stage's state under new definitions, handed over at its last marker.

What the state is made of comes from the lake alone, so the lake must hold all rows below the hand-over. It
does once every reader behind the stage has read to the end: the terminal stage `events.terminal`, then the
archive `features.log`.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pyarrow.parquet as pq

from contracts import topics
from inference.backfill.executors import Executor
from inference.backfill.run import Options, states
from inference.lake.lake import Lake
from streams.stage.definition import StageDefinition, StageName
from streams.stage.hand_over import Barrier, HandOver
from streams.stage.settings import StageSettings

Tell = Callable[[str], None]
ORDER: tuple[StageName, ...] = ("customer", "terminal")


class Warmed(msgspec.Struct, kw_only=True):
    """One stage's outcome: keys handed over, and by partition the input offset to go on from."""

    keys: int = 0
    offsets: dict[int, int] = {}
    changed: bool = False


def warm(
    stages: Sequence[StageName], settings: StageSettings, lake: Lake, options: Options, on: Executor,
    wait_s: float, tell: Tell,
) -> dict[str, Warmed]:  # fmt: skip
    """Hand over every stage whose state is of other definitions than this code's.

    Raises:
        ClusterError: E_WARM_RUNNING, E_WARM_BEHIND, E_TOPIC_MISSING, E_STORE_DOWN.
        StateError: E_WARM_INCOMPLETE.
        Stop: E_TAKE_OVER, E_CHECKPOINT.
    """
    found: dict[str, Warmed] = {}
    for name in (name for name in ORDER if name in stages):
        definition = StageDefinition.of(name, settings)
        stage = HandOver(definition, settings, tell)
        try:
            found[name] = warmed = Warmed(changed=stage.is_changed(), offsets={})
            if not warmed.changed:
                tell(f"{name}: the state is of these definitions already")
                continue
            stage.fence()
            _await_lake(name, settings, wait_s, tell)
            _replace(stage, settings, lake, options, on, tell, warmed)
        finally:
            stage.close()
    return found


def _replace(
    stage: HandOver, settings: StageSettings, lake: Lake, options: Options, on: Executor, tell: Tell,
    warmed: Warmed,
) -> None:  # fmt: skip
    below = {partition: held.below for partition, held in stage.held.items()}
    with states(lake, stage.definition.entity, below, options, on, tell) as made:
        for partition, held in stage.held.items():
            warmed.keys += stage.replace(partition, _states(made.folder / f"{partition}.parquet"))
            warmed.offsets[partition] = held.marker.input_offset
            tell(
                f"{stage.definition.name}/{partition}: goes on from input offset {held.marker.input_offset:,}"
            )


def _states(path: Path) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield key and packed state of a partition's keys."""
    if path.exists():
        for batch in pq.ParquetFile(path).iter_batches(1024):
            yield from zip(batch.column("key").to_pylist(), batch.column("state").to_pylist(), strict=True)


def _await_lake(name: StageName, settings: StageSettings, wait_s: float, tell: Tell) -> None:
    """Wait until the lake holds every row that the stage has let go."""
    prefix, barrier = settings.topic_prefix, Barrier(settings.kafka, wait_s, tell)
    try:
        if name == "customer":
            terminal = StageDefinition.of("terminal", settings)
            advice = "start `headrace stream terminal` (of the code that made its state), then run this again"
            barrier.passed(terminal.group, terminal.input_topic, advice)
        log = topics.FEATURES_LOG.full_name(prefix)
        barrier.passed(f"{prefix}archive", log, "start `headrace archive`, then run this again")
    finally:
        barrier.close()
