"""`headrace backfill --seed-from`: a new run begins with what another run's lake comes to.

The order lets a crash happen anywhere: files and an unfinished note in the new run's lake, then a transaction
a partition, then the online store, then the note is finished. Until then no stage of the run starts, and the
command may be run again; what it wrote before is replaced.
"""

from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from contracts.errors import ConfigError, StateError
from contracts.frame import strings
from features.meaning import meaning_of
from features.project.running import RunningProject
from features.seeded import Seeded, SeedOrigin
from inference.offline.backfill.executors import Executor
from inference.offline.backfill.run import Options, Tell
from inference.offline.backfill.seed import add_definitions, make_seed
from inference.offline.lake.beginning import clock_of, remembered_of, states_of
from inference.offline.lake.lake import FixedLake, Lake
from inference.offline.lake.seed_note import finished_seed, read_seed, write_note
from runtime.run import Run
from streams.stage.deduplication import Arrivals
from streams.stage.definition import StageDefinition, stage_of
from streams.stage.rebuild import StoreRebuild
from streams.stage.seeding import IdsToRemember, Seeding
from streams.stage.settings import StageSettings


class Into(NamedTuple):
    """The new run: its project, its lake, and the settings of its stages."""

    project: RunningProject
    lake: Lake
    settings: StageSettings


def seed(old: Path, into: Into, options: Options, on: Executor, tell: Tell) -> Seeded:
    """Seed a run from the lake of another, or add this code's definitions to the seed that it has.

    Args:
        old: the folder of the other run's lake.

    Raises:
        ConfigError: E_SEED_SELF; E_SEED_EPOCH, the run is older than the other; E_RUN_FILE.
        StateError: E_SEED_DONE, the run is seeded; E_SEED_BEGUN, E_SEED_UNDER_WAY, E_SEED_FACTS,
            E_SEED_PARTITIONS, E_SEED_SOURCE, E_LAKE_EMPTY, E_SEED_FILE.
        ClusterError: E_SEED_RUNNING, E_SEED_TOPICS, E_TOPIC_MISSING, E_STORE_DOWN.
        Stop: E_TAKE_OVER, E_CHECKPOINT.
    """
    if old.resolve() == into.lake.folder.resolve():
        raise ConfigError(
            "E_SEED_SELF", "a run is not seeded from itself", str(old), "name another run's lake"
        )
    before, source = read_seed(into.lake.folder), _source(old, into.settings.partitions)
    if before is not None and before.finished:
        entities = into.project.entities
        if all(meaning_of(entity).hash in before.definitions[entity.name] for entity in entities):
            raise StateError(
                "E_SEED_DONE", f"the run was seeded from {before.source.lake}", str(into.lake.folder),
                "make a new run to begin anew",
            )  # fmt: skip
        return add_definitions(
            FixedLake(old, into.project), into.lake.folder, before, source, options, on, tell
        )
    if before is not None and before.source.files:
        finished_seed(into.lake.folder)  # an import is to be finished first, and says how
    if source.epoch >= into.settings.epoch:
        raise ConfigError(
            "E_SEED_EPOCH", f"the run (epoch {into.settings.epoch}) is not younger than the other",
            source.lake, "make a new run: rows of an older one would not be replaced in the online store",
        )  # fmt: skip

    def make() -> Seeded:
        old_lake = FixedLake(old, into.project)
        return make_seed(old_lake, into.lake.folder, source, into.settings.partitions, options, on, tell)

    return begin_with(make, into, before is not None, tell)


def begin_with(
    make: Callable[[], Seeded], into: Into, again: bool, tell: Tell,
    before_the_end: Callable[[Seeded], None] = lambda _seed: None,
) -> Seeded:  # fmt: skip
    """Make a seed and put it into the changelogs and the store of a run that has not begun; finish its note.

    Args:
        make: writes the seed's files and a note that is not finished.
        again: a seeding was begun before, whose traces are replaced.
        before_the_end: what must be done before the stages may start.

    Raises:
        StateError: E_SEED_BEGUN. ClusterError: E_SEED_RUNNING, E_SEED_TOPICS, E_TOPIC_MISSING, E_STORE_DOWN.
        Stop: E_TAKE_OVER, E_CHECKPOINT.
    """
    with ExitStack() as opened:
        names = into.project.pipeline.chain.names
        definitions = [StageDefinition.of(stage_of(into.project, name), into.settings) for name in names]
        stages = [opened.enter_context(closing(Seeding(one, into.settings, again))) for one in definitions]
        for stage in stages:
            stage.refuse_begun()
        made = make()
        for stage in stages:
            stage.fence()
        for stage in stages:
            _fill(stage, into, made, tell)
    for definition in definitions:
        StoreRebuild(definition, into.settings, tell).run()
    before_the_end(made)
    done = msgspec.structs.replace(made, finished=True)
    write_note(into.lake.folder, done)
    return done


def _fill(stage: Seeding, into: Into, seed: Seeded, tell: Tell) -> None:
    entity, lake, first = stage.definition.entity, into.lake, into.project.pipeline.chain.first
    for partition in range(seed.partitions):
        table = states_of(lake, seed, entity, partition)
        pairs = zip(table["key"].to_pylist(), table["state"].to_pylist(), strict=True)
        states = {key: state for key, state in pairs if state is not None}
        ids = _ids(lake, seed, partition) if stage.definition.name == first.name else None
        stage.write(partition, states, clock_of(table.schema), ids)
        told = f", {len(ids.source):,} ids" if ids is not None else ""
        tell(f"{stage.definition.name}/{partition}: {len(states):,} keys{told}")


def _ids(lake: Lake, seed: Seeded, partition: int) -> IdsToRemember:
    table = remembered_of(lake, seed, partition)
    arrivals = Arrivals(
        strings(table["key"].to_pylist()), strings(table["event_id"].to_pylist()),
        table["content_hash"].to_numpy(), table["arrival_ms"].to_numpy(),
    )  # fmt: skip
    source = table["source"].to_numpy().astype(np.int64)
    return IdsToRemember(arrivals, source, seed.clocks.get(partition, b""))


def _source(lake: Path, partitions: int) -> SeedOrigin:
    """Return who the old run is, as far as its run.json stands beside its lake.

    Raises:
        StateError: E_SEED_PARTITIONS, it has another number of partitions.
    """
    home = lake.resolve().parent
    if not (home / "run.json").exists():
        return SeedOrigin(lake=str(lake.resolve()))
    run = Run.load(home)
    if run.partitions != partitions:
        raise StateError(
            "E_SEED_PARTITIONS", f"the old run has {run.partitions} partitions, this one {partitions}",
            str(home), "make the new run with as many partitions as the old one: keys live on partitions",
        )  # fmt: skip
    return SeedOrigin(lake=str(lake.resolve()), run=run.name, epoch=run.epoch)
