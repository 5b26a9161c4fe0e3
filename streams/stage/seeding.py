"""A new run's stage before its first row: its changelogs filled with what another run's lake came to.

Each partition is fenced and found untouched before anything is written to it, and its states, clock,
remembered ids and marker come in one transaction. The marker stands at input offset 0: its successor
reads all input.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.errors import ClusterError, StateError
from streams.stage.changelog import MARKER, Changelog, ChangelogReader, marker_of
from streams.stage.core import Entry, Marker, Snapshot
from streams.stage.deduplication import Arrivals, chunks_of
from streams.stage.definition import StageDefinition
from streams.stage.entity_rows import CLOCK, KEY
from streams.stage.entity_stage import CHUNK, SEEN_CLOCK
from streams.stage.hand_over import TRANSACTION_S, await_stopped
from streams.stage.settings import StageSettings


class IdsToRemember(NamedTuple):
    """Ids to remember, by arrival (`event_time_ms`), of which source each is (n,), and their clock."""

    arrivals: Arrivals
    source: NDArray[np.int64]
    clock: bytes


class _Fenced(NamedTuple):
    changelog: Changelog
    incarnation: int
    entries: Mapping[bytes, bytes]


class Seeding:
    """One stage of a run that has not taken a row yet.

    Args:
        again: a seeding was begun before, so that a changelog may hold what it wrote.
    """

    def __init__(self, definition: StageDefinition, settings: StageSettings, again: bool) -> None:
        self.definition, self._settings, self._again = definition, settings, again
        self._reader = ChangelogReader(settings.kafka)
        self._fenced: dict[int, _Fenced] = {}

    def refuse_begun(self) -> None:
        """Look whether the stage may be seeded; disturbs nobody.

        Raises:
            ClusterError: E_SEED_RUNNING, its workers run; E_TOPIC_MISSING; E_SEED_TOPICS, it has another
                number of partitions than the run.
            StateError: E_SEED_BEGUN, it has read input or has state.
        """
        await_stopped(self.definition, self._settings.kafka, "E_SEED_RUNNING")
        for partition in range(self._partitions()):
            self._untouched(partition, self._reader.read(self.definition.changelog_topic, partition))

    def fence(self) -> None:
        """Fence every partition, and see once more that none has begun.

        Raises:
            ClusterError, StateError: as `refuse_begun`.
            Stop: E_TAKE_OVER.
        """
        await_stopped(self.definition, self._settings.kafka, "E_SEED_RUNNING")
        for partition in range(self._partitions()):
            changelog = Changelog(
                self._settings.kafka, self.definition.changelog_topic, partition,
                self.definition.transactional_id(partition), TRANSACTION_S,
            )  # fmt: skip
            entries = changelog.fence_and_read(self._reader)
            incarnation = self._untouched(partition, entries)
            self._fenced[partition] = _Fenced(changelog, incarnation, entries)

    def write(
        self, partition: int, states: Mapping[bytes, bytes], clock: bytes, remembered: IdsToRemember | None
    ) -> None:
        """Write a fenced partition's states, clock, remembered ids and marker in one transaction.

        Args:
            states: packed, by key.
            clock: packed; b"" where nothing has moved it.
            remembered: for the chain's first stage, None for another.

        Raises:
            StateError: E_STATE_DEFINITIONS, E_STATE_BYTES.
            Stop: E_CHECKPOINT, a worker took the partition over meanwhile.
        """
        fenced, definition = self._fenced[partition], self.definition
        made = {KEY + key: state for key, state in states.items()}
        if clock:
            made[CLOCK] = clock
        if remembered is not None and remembered.clock:
            made[SEEN_CLOCK] = remembered.clock
        if remembered is not None and len(remembered.source):
            horizons_ms = self.definition.pipeline.horizons_ms
            chunks = chunks_of(remembered.arrivals, remembered.source, horizons_ms)
            made |= {CHUNK + b"%020d" % number: blob for number, blob in chunks.items()}
        rows = definition.rows(partition)
        rows.load(made, {})
        entries: list[Entry] = [*made.items(), *((key, None) for key in fenced.entries if key not in made)]
        marker = Marker(
            input_offset=0, lanes={}, definitions_hash=definition.definitions_hash, extra=rows.extra(),
            incarnation=fenced.incarnation,
        )  # fmt: skip
        fenced.changelog.commit(Snapshot(entries, marker))

    def close(self) -> None:
        """Let go of the connections."""
        self._reader.close()

    def _untouched(self, partition: int, entries: dict[bytes, bytes]) -> int:
        """Return the incarnation that left a partition which no row has come to; takes the marker out."""
        text = entries.pop(MARKER, None)
        marker = None if text is None else marker_of(text, self.definition.changelog_topic)
        has_begun = marker is not None and (marker.input_offset > 0 or bool(marker.lanes))
        if has_begun or (entries and not self._again):
            raise StateError(
                "E_SEED_BEGUN", "the stage has read input or has state",
                f"{self.definition.changelog_topic}/{partition}", "seed a new run before its workers start",
            )  # fmt: skip
        return 0 if marker is None else marker.incarnation

    def _partitions(self) -> int:
        topic = self.definition.changelog_topic
        found = self._reader.warm(topic)
        if not found:
            raise ClusterError(
                "E_TOPIC_MISSING", "the topic does not exist", topic, "run `headrace topics create`"
            )
        if found != self._settings.partitions:
            raise ClusterError(
                "E_SEED_TOPICS", f"{found} partitions, the run has {self._settings.partitions}", topic,
                "name the run that the topics belong to in HEADRACE_RUN",
            )  # fmt: skip
        return found
