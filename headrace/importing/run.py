"""An import from beginning to end: files to a lake, stages to a seed, seed to changelogs, store and offsets.

A crash before the lake has its name leaves a run of which nothing was touched; the command begins again. From
the note of the seed on no stage starts until it is finished, and the error that they give names the command,
which makes everything anew from the same files, as of the same moment.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from contracts.crash_points import reach
from contracts.errors import StateError
from contracts.frame import Columns, length
from contracts.hashed_fields import HashKeys
from features.seeded import IMPORTED, Bounds, Seeded, SeedOrigin
from headrace.importing.chain import ImportChain
from headrace.importing.history import HistoryFile, named, parts_of
from headrace.importing.judging import JudgedWith, judged
from headrace.importing.lake import ImportedLake
from headrace.importing.order import ROWS_A_BLOCK, Block, in_order
from headrace.importing.start import Offsets, StreamStart
from headrace.seed import Into, begin_with
from inference.offline.backfill.run import Tell
from inference.offline.backfill.seed import Ended, write_seed
from inference.offline.lake.seed_note import read_seed


class Imported(msgspec.Struct, kw_only=True):
    """What an import came to.

    By the source's name `records` were read, `refused` of them by code, `repeats` came again, and `rows` are
    in the log of features. `goes_on` has the offsets at which the stream begins.
    """

    records: dict[str, int]
    refused: dict[str, dict[str, int]]
    repeats: dict[str, int]
    rows: dict[str, int]
    lake: str
    seconds: float
    goes_on: Offsets = {}

    @property
    def total(self) -> int:
        """How many records were read."""
        return sum(self.records.values())


class Making(msgspec.Struct, kw_only=True):
    """What an import makes before it touches a run: its lake, what the stages came to, what is to be told."""

    ended: Ended
    bounds: Bounds
    told: Imported


def import_history(
    files: Sequence[HistoryFile], into: Into, keys: HashKeys | None,
    stream_from: Literal["beginning", "end"] | Path, workers: int, tell: Tell,
) -> Imported:  # fmt: skip
    """Import files into a run that has no state.

    Args:
        keys: the secrets of personal keys; None where nothing is hashed.
        workers: processes that judge.
        stream_from: where the stream goes on, as `headrace.importing.start.StreamStart.offsets` takes it.

    Raises:
        StateError: E_IMPORT_BEGUN, the run has read or has rows; E_IMPORT_OTHER, an import of other files is
            not finished; E_IMPORT_NOTHING, no record was accepted; E_SEED_DONE, the run has a seed;
            E_SEED_BEGUN.
        ClusterError, Stop: as `headrace.seed.begin_with`. ConfigError: as `parts_of`; E_IMPORT_OFFSETS.
    """
    began_s = time.monotonic()
    lake, project = into.lake.folder, into.project
    source, goes_on = _begun(into, files)
    refuse_rows(into)
    start = StreamStart(into.settings.kafka, into.settings.topic_prefix, project.pipeline)
    start.refuse_begun(goes_on)
    goes_on = goes_on or start.offsets(stream_from)
    made: list[Imported] = []

    def make() -> Seeded:
        making = make_lake(files, into, keys, source.at_ms, tell, workers)
        made.append(making.told)
        seed = Seeded(
            source=source, bounds=making.bounds, partitions=into.settings.partitions, rows={}, clocks={},
            definitions={}, files={}, goes_on=goes_on,
        )  # fmt: skip
        reach("import.before_note")
        return write_seed(project, lake, seed, making.ended)

    def commit(seed: Seeded) -> None:
        reach("import.before_offsets")
        start.commit(seed.goes_on)

    begin_with(make, into, read_seed(lake) is not None, tell, commit)
    (told,) = made
    return msgspec.structs.replace(told, goes_on=goes_on, seconds=time.monotonic() - began_s)


def make_lake(
    files: Sequence[HistoryFile], into: Into, keys: HashKeys | None, at_ms: int, tell: Tell,
    workers: int = 1, rows_a_block: int = ROWS_A_BLOCK,
) -> Making:  # fmt: skip
    """Judge the files, take their good records through the stages in their one order, and write the lake.

    Args:
        into: the run; its changelogs and its store are not touched.
        at_ms: the moment as of which records are judged.
        workers: processes that judge.

    Raises:
        StateError: E_IMPORT_NOTHING. ConfigError: as `parts_of`.
    """
    began_s = time.monotonic()
    project, pipeline = into.project, into.project.pipeline
    lake = ImportedLake(into.lake.folder, project, at_ms)
    good: dict[int, list[Columns]] = {source.number: [] for source in pipeline.sources}
    trial = JudgedWith(str(project.folder), lake.hidden, at_ms, keys)
    numbers = {source.name: source.number for source in pipeline.sources}
    for found in judged(parts_of(files), trial, workers):
        lake.add(found)
        good[numbers[found.source]].append(found.good)
        read = sum(lake.rows.values())
        tell(f"{read:,} records judged, {read / (time.monotonic() - began_s):,.0f} a second")
    chain = ImportChain(project, into.settings.partitions)
    total = sum(length(rows) for some in good.values() for rows in some)
    done = 0
    for block in in_order(pipeline, good, rows_a_block):
        done += take(chain, lake, block)
        tell(f"{done:,} of {total:,} records folded, {done / (time.monotonic() - began_s):,.0f} a second")
    if not done:
        raise StateError(
            "E_IMPORT_NOTHING", f"no record was accepted: {_codes(lake)}",
            ", ".join(str(file.path) for file in files),
            "see `headrace code CODE`; correct the files, or the contract",
        )  # fmt: skip
    ended = Ended(chain.states(), chain.remembered(), chain.rows)
    reach("import.before_lake")
    lake.publish()
    told = Imported(
        records=lake.rows, refused={name: dict(codes) for name, codes in lake.codes.items() if codes},
        repeats={s.name: chain.repeats[s.number] for s in pipeline.sources if chain.repeats[s.number]},
        rows=lake.log_rows, lake=str(lake.folder), seconds=time.monotonic() - began_s,
    )  # fmt: skip
    return Making(ended=ended, bounds=lake.bounds(chain.below), told=told)


def take(chain: ImportChain, lake: ImportedLake, block: Block) -> int:
    """Take a block through the stages and into the lake; return how many rows it had."""
    taken = chain.take(block)
    lake.add_log(taken.log)
    lake.refuse(taken.refused)
    return sum(length(rows) for _, rows in block)


def refuse_rows(into: Into) -> None:
    """Refuse a run whose lake has rows.

    Raises:
        StateError: E_IMPORT_BEGUN.
    """
    pipeline = into.project.pipeline
    datasets = (
        *pipeline.by_topic,
        *(f"{topic}_dlq" for topic in pipeline.by_topic),
        *into.lake.logs,
        "predictions",
    )
    held = next((name for name in datasets if into.lake.has(name)), None)
    if held is not None:
        raise StateError(
            "E_IMPORT_BEGUN", f"the run's lake has rows of {held}", str(into.lake.folder),
            "import into a new run, before its workers start",
        )  # fmt: skip


def _begun(into: Into, files: Sequence[HistoryFile]) -> tuple[SeedOrigin, Offsets]:
    """Return what the seed is of, and where the stream goes on: as an import that is not finished said."""
    here = tuple(map(named, files))
    before = read_seed(into.lake.folder)
    if before is None:
        at_ms = time.time_ns() // 1_000_000
        return SeedOrigin(lake=str((into.lake.folder / IMPORTED).resolve()), files=here, at_ms=at_ms), {}
    if before.finished:
        raise StateError(
            "E_SEED_DONE", f"the run began with {before.source.lake}", str(into.lake.folder),
            "make a new run to begin anew",
        )  # fmt: skip
    if before.source.files != here:
        raise StateError(
            "E_IMPORT_OTHER", "an import of other files, or a seed, is not finished", str(into.lake.folder),
            f"run `{before.source.again}` again, or make a new run",
        )  # fmt: skip
    return before.source, before.goes_on


def _codes(lake: ImportedLake) -> str:
    codes = [f"{count:,} {name} {code}" for name, some in lake.codes.items() for code, count in some.items()]
    return ", ".join(codes) or "the files have none"
