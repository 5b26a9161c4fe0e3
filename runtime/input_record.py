"""What a run knows of the topics it reads: which ones they were, and what of them was lost unread.

Kafka forgets: retention deletes what nobody has read, and a topic that is deleted and made again has the name
of the old one and other records at the same offsets. So a run keeps each topic's id, and every range of
offsets that a reader did not get. All of it is in `holes/` in the lake, a file a fact, so that whatever
computes from the lake later knows what it never held.

A topic that was made again goes on as another generation of the same name: its offsets are counted on from
`generation << 36`, so that places in frames, letters and the lake never name two records.
"""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from contracts.errors import StateError
from runtime.atomic_file import create_file, replace_file

FOLDER = "holes"
GENERATION_BITS = 36  # offsets of one generation; the lanes' positions leave room for 127 generations

Fact = TypeVar("Fact")


class Hole(msgspec.Struct, frozen=True, kw_only=True):
    """Offsets [frm, to) of a partition that a reader did not get before they were gone.

    Open (`why` is empty) while nobody has said that the loss is accepted: the reader does not go on.

    Attributes:
        topic: without the run's prefix.
        reader: gate, stage-ENTITY, score, archive or learn.
        topic_id: the topic's id when it was found, empty where it is not known.
        at_ms: when it was found, or accepted.
    """

    topic: str
    partition: int
    frm: int
    to: int
    reader: str
    at_ms: int
    topic_id: str = ""
    who: str = ""
    why: str = ""

    @property
    def words(self) -> str:
        """Return the hole for people.

        >>> Hole(topic="labels", partition=1, frm=3, to=9, reader="gate", at_ms=0).words
        'labels/1 [3, 9), 6 offsets deleted before gate read them'
        """
        if self.to == logical(0, (self.frm >> GENERATION_BITS) + 1):
            return f"{self.topic}/{self.partition} from {self.frm} on, until the topic was made again"
        count = self.to - self.frm
        return (
            f"{self.topic}/{self.partition} [{self.frm}, {self.to}),"
            f" {count:,} offsets deleted before {self.reader} read them"
        )


class LostLane(msgspec.Struct, frozen=True, kw_only=True):
    """Positions [frm, to) of a lane that an accepted hole of `topic` held: what those records stood for."""

    src: str
    frm: int
    to: int
    topic: str
    partition: int
    reader: str
    at_ms: int


class TopicFact(msgspec.Struct, frozen=True, kw_only=True):
    """Which topic a name stood for when the run first met it, and how often it was made again since."""

    name: str
    id: str
    generation: int = 0


def logical(offset: int, generation: int) -> int:
    """Return the offset by which the run names a record.

    >>> logical(7, 0), logical(7, 1) == (1 << 36) + 7
    (7, True)
    """
    return (generation << GENERATION_BITS) + offset


def physical(offset: int) -> int:
    """Return the offset in the topic as it is now, of one that the run names.

    >>> physical(logical(7, 3))
    7
    """
    return offset & ((1 << GENERATION_BITS) - 1)


class InputRecord:
    """The facts of one lake; every read is from disk, so that what a command writes is seen at a restart."""

    def __init__(self, lake: Path | None) -> None:
        self._folder = None if lake is None else lake / FOLDER

    def holes(self) -> list[Hole]:
        """Return every hole, open and accepted, by topic and place."""
        found = list(self._read("hole-*.json", Hole)) + list(self._read("open-*.json", Hole))
        return sorted(found, key=lambda hole: (hole.topic, hole.partition, hole.frm, hole.reader, hole.to))

    def open(self) -> list[Hole]:
        """Return the holes that hold a reader up."""
        return [hole for hole in self.holes() if not hole.why]

    def accepted(self) -> list[Hole]:
        """Return the holes that somebody answers for."""
        return [hole for hole in self.holes() if hole.why]

    def lost_lanes(self) -> list[LostLane]:
        """Return what the accepted holes of inter-stage topics are known to have held."""
        return sorted(self._read("lane-*.json", LostLane), key=lambda lane: (lane.topic, lane.src, lane.frm))

    def end_of(self, reader: str, topic: str, partition: int, at: int) -> int:
        """Return where a reader goes on that stands at `at`: behind accepted holes, or there.

        >>> InputRecord(None).end_of("gate", "orders", 0, 5)
        5
        """
        for hole in self.accepted():
            mine = (hole.reader, hole.topic, hole.partition) == (reader, topic, partition)
            if mine and hole.frm <= at < hole.to:
                at = hole.to
        return at

    def go_on(self, reader: str, place: tuple[str, int], at: int, log_start: int) -> int:
        """Return where a reader goes on that stands at `at` in a log that begins at `log_start`.

        Args:
            place: topic without prefix, partition.

        Raises:
            StateError: E_INPUT_HOLE, records were deleted before they were read, and nobody has accepted it.
        """
        topic, partition = place
        at = self.end_of(reader, topic, partition, at)
        if at >= log_start:
            self._close(reader, topic, partition)
            return at
        hole = Hole(
            topic=topic, partition=partition, frm=at, to=log_start, reader=reader, at_ms=_now_ms(),
        )  # fmt: skip
        if self._folder is not None:
            self._write(f"open-{reader}-{topic}-{partition}.json", hole)
        raise StateError(
            "E_INPUT_HOLE", f"offsets {at} to {log_start} were deleted before {reader} read them",
            f"{topic}/{partition}", accept_step(topic, partition),
        )  # fmt: skip

    def accept(self, hole: Hole, who: str, why: str) -> Hole:
        """Record that somebody answers for an open hole; its reader goes on behind it from now on."""
        taken = msgspec.structs.replace(hole, who=who, why=why, at_ms=_now_ms())
        self._write(f"hole-{hole.reader}-{hole.topic}-{hole.partition}-{hole.frm}.json", taken)
        self._close(hole.reader, hole.topic, hole.partition)
        return taken

    def _close(self, reader: str, topic: str, partition: int) -> None:
        if self._folder is not None:
            (self._folder / f"open-{reader}-{topic}-{partition}.json").unlink(missing_ok=True)

    def lost(self, lane: tuple[str, int, int], place: tuple[str, int], reader: str) -> None:
        """Record which positions of a lane, as (src, frm, to), an accepted hole is known to have held."""
        src, frm, to = lane
        fact = LostLane(
            src=src, frm=frm, to=to, topic=place[0], partition=place[1], reader=reader, at_ms=_now_ms()
        )
        self._write(f"lane-{reader}-{place[0]}-{place[1]}-{src.replace('/', '_')}-{frm}.json", fact)

    def topics(self) -> dict[str, TopicFact]:
        """Return which topics the run has met, by name without prefix."""
        return {fact.name: fact for fact in self._read("topic-*.json", TopicFact)}

    def generation(self, topic: str) -> int:
        """Return how often a topic was made again since the run met it."""
        fact = self.topics().get(topic)
        return 0 if fact is None else fact.generation

    def meet(self, found: Mapping[str, str]) -> None:
        """Keep the ids of topics that the run meets for the first time; who is first is right."""
        known = self.topics()
        for name, topic_id in found.items():
            if name not in known and topic_id:
                self._write(f"topic-{name}.json", TopicFact(name=name, id=topic_id), first=True)

    def made_again(self, topic: str, topic_id: str) -> TopicFact:
        """Take a topic that was made again as the next generation of its name."""
        known = self.topics()
        generation = known[topic].generation + 1 if topic in known else 0
        fact = TopicFact(name=topic, id=topic_id, generation=generation)
        self._write(f"topic-{topic}.json", fact)
        return fact

    def _read(self, pattern: str, kind: type[Fact]) -> Iterator[Fact]:
        for path in sorted(self._folder.glob(pattern)) if self._folder is not None else ():
            try:
                yield msgspec.json.decode(path.read_bytes(), type=kind)
            except FileNotFoundError:
                continue  # accepted between the two lines
            except msgspec.MsgspecError as error:
                raise _damaged(path, error) from error

    def _write(self, name: str, fact: object, *, first: bool = False) -> None:
        """Put a fact down, durable and at once; with `first` only where there is none yet."""
        if self._folder is None:
            return
        put = create_file if first else replace_file  # first: another worker may have been quicker
        put(self._folder / name, msgspec.json.format(msgspec.json.encode(fact)))


def accept_step(topic: str, partition: int) -> str:
    """Return the command that goes on behind a hole."""
    return (
        "see `headrace offsets show`; bring the records back, or accept the loss:"
        f" `headrace offsets accept-loss --topic {topic} --partition {partition} --reason WHY`"
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _damaged(path: Path, error: Exception) -> StateError:
    return StateError(
        "E_HOLES_FILE", f"a record of the run's input cannot be read: {error}", str(path),
        "put the file back from a copy of the lake",
    )  # fmt: skip
