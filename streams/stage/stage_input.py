"""A stage's input where records are missing: those deleted before they were read, those that never were."""

from pathlib import Path

import msgspec
import structlog
from confluent_kafka import KafkaException

from contracts.errors import Stop
from runtime.input_record import InputRecord
from streams.stage.changelog import ChangelogReader
from streams.stage.core import Gaps, Marker
from streams.stage.definition import StageDefinition

log = structlog.get_logger("streams.stage")
Lane = tuple[str, int, int]


class StageInput:
    """The input topic of one stage of a run whose lake keeps what was lost."""

    def __init__(self, definition: StageDefinition, lake: Path | None, reader: ChangelogReader) -> None:
        self._topic, self._name = definition.input_topic, definition.source(0).rpartition("/")[0]
        self._stage = f"stage-{definition.name}"
        self._record, self._reader = InputRecord(lake), reader

    def begin(self, partition: int, marker: Marker) -> Marker:
        """Return the marker to go on from: behind accepted holes, where there are any.

        Raises:
            StateError: E_INPUT_HOLE, records were deleted unread, and nobody has accepted that.
            Stop: E_OFFSET_AHEAD (72), the log ends before what was read; E_TAKE_OVER (75), Kafka is away.
        """
        where = f"{self._name}/{partition}"
        low, high = self._ends(partition)
        if marker.input_offset > high:
            what = f"read up to offset {marker.input_offset}, the log ends before {high}"
            raise Stop(72, "E_OFFSET_AHEAD", what, where)
        at = self._record.go_on(self._stage, (self._name, partition), marker.input_offset, low)
        if at == marker.input_offset:
            return marker
        log.warning("passed_hole", stage=self._stage, partition=partition, frm=marker.input_offset, to=at)
        return msgspec.structs.replace(marker, input_offset=at, joined=[])

    def gaps(self, partition: int) -> Gaps:
        """Return what the core of a partition asks."""

        def is_hole(frm: int, to: int) -> bool:
            if self._ends(partition)[0] > frm:
                return True
            first = self._reader.first(self._topic, partition, frm)
            return first is not None and first < to

        def lost(lane: Lane) -> None:
            log.warning("lost_in_hole", stage=self._stage, src=lane[0], frm=lane[1], to=lane[2])
            self._record.lost(lane, (self._name, partition), self._stage)

        return Gaps(is_hole, lost)

    def _ends(self, partition: int) -> tuple[int, int]:
        try:
            return self._reader.ends(self._topic, partition)
        except KafkaException as error:
            raise Stop(75, "E_TAKE_OVER", str(error), f"{self._topic}/{partition}") from error
