"""Which frames a reader of an inter-stage topic may believe: checked before anything of the frame moves.

The topics between the stages are ours, but nothing keeps a stranger's record out, and one small record used
to be enough to silence a lane for good. So a reader takes a frame only if it could have been written by the
stage before it: its kind, the types and shapes of its columns, the ranges of what is in them, the name of its
lane, and positions that the lane's input has reached. What is refused moves nothing, and its reader keeps a
record of it. Types and shapes are checked once a schema; one compiled pass checks the rows of a frame.

`InputEnds` says how far the input of a lane has come. It is asked for the present end whenever a frame claims
a beginning, and else only when the end seen last is passed by more than `SLACK`, so it costs nothing.
"""

from collections.abc import Mapping
from functools import cache, lru_cache, partial
from typing import NamedTuple, Protocol

import numpy as np
from numba import njit
from numpy.typing import NDArray

from contracts import topics
from contracts.chain import Link
from contracts.contract_version import TEXT_BYTES_MAX, TIME_MS_MAX, ContractField
from contracts.frame import ROW_BITS, Frame, FrameError, decode, length, schema_of
from contracts.keys import NULL
from contracts.lanes import Lanes
from contracts.meaning import Meanings
from contracts.pipeline import Pipeline
from contracts.row_columns import log_columns, stage_columns

OFFSET_MAX = 1 << 40  # of a record in one partition: a million a second for twelve days short of 35 years
POSITION_MAX = OFFSET_MAX << ROW_BITS
PARTITIONS_MAX = 1000  # of one topic; where the input's end is known, the partition must exist as well
SLACK = 4096  # offsets that a lane may run past the end of its input seen last, before it is asked for again
COLUMNS_MAX = 512
STRING_BYTES_MAX = TEXT_BYTES_MAX
CODES = ("E_FRAME_MAGIC", "E_FRAME_SCHEMA", "E_FRAME_LENGTH", "E_FRAME_KIND", "E_FRAME_TYPES",
         "E_FRAME_RANGE", "E_FRAME_LANE", "E_FRAME_JUMP")  # fmt: skip
OTHER = "E_FRAME_OTHER"

KindsOf = Mapping[str, frozenset[int]]  # the kinds of row that a lane from each topic brings


Spec = tuple[str, int, tuple[int, int]]  # of a column: its type, the test of its values, their bounds


class FrameRules:
    """What frames of a pipeline's topics may be: lanes by topic, columns by source, and what stands in them.

    `specified` are the columns that this code knows.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self._any: KindsOf = {topic.name: frozenset(pipeline.by_number) for topic in pipeline.topics}
        self._lanes = {link.input: self._lanes_of(link) for link in pipeline.chain.links}
        self._lanes[topics.FEATURES_LOG.name] = {pipeline.chain.last.input: frozenset(pipeline.by_number)}
        self.needed: Mapping[str, Mapping[int, frozenset[str]]] = {
            **{link.input: stage_columns(pipeline, link) for link in pipeline.chain.links},
            topics.FEATURES_LOG.name: log_columns(pipeline),
        }
        self._specs = _specs(pipeline)
        self.specified = frozenset(self._specs)
        self.plan = lru_cache(maxsize=4096)(partial(_plan, self._specs))

    def lanes_of(self, topic: str) -> KindsOf:
        """Return which topics' lanes come to a topic, and of which sources they bring rows."""
        return self._lanes.get(topic, self._any)

    def _lanes_of(self, link: Link) -> KindsOf:
        if visited := self.pipeline.chain.before(link):
            return {visited[-1].input: frozenset(self.pipeline.by_number)}
        return {source.topic: frozenset({source.number}) for source in self.pipeline.sources}


@cache
def rules_of(pipeline: Pipeline) -> FrameRules:
    """Return a pipeline's rules, made once."""
    return FrameRules(pipeline)


class InputEnds(Protocol):
    """How far the inputs of lanes have come."""

    def seen(self, src: str) -> int:
        """Return the end offset of a lane's input as last seen, 0 before it was asked for."""

    def now(self, src: str) -> int | None:
        """Return the present end offset of a lane's input, None when there is no such partition.

        Raises:
            Stop: the cluster does not answer.
        """


def bounded(code: str) -> str:
    """Return a code as a metric's label: one of `CODES`, or one word for all others."""
    return code if code in CODES else OTHER


class Refused(NamedTuple):
    """A record that a reader did not take: where it lies, why, and its bytes."""

    topic: str
    partition: int
    offset: int
    code: str
    reason: str
    value: bytes


class FrameReader:
    """Reads and checks the frames of one topic.

    Args:
        topic: its name without a run's prefix; lanes of a topic between no stages may be of any.
        pipeline: whose rows they are.
        needed: the columns that rows of each kind must have; those that the topic's readers rely on if unset.
        ends: None where no broker is asked: then only what no input can ever hold is refused.
        meanings: where rows carry the definitions of their values, these must be as wide as those say.

    >>> from contracts.frame import encode
    >>> from features.project.running import project_at
    >>> pipeline = project_at("examples/logins").pipeline
    >>> rows = {"pos": np.array([1 << 20]), "event_time": np.array([1]), "appended_ms": np.array([1])}
    >>> reader = FrameReader("features.log", pipeline, {1: frozenset(rows)})
    >>> frame = Frame(f"{pipeline.chain.last.input}/0", 0, 2 << 20, True, 1, rows)
    >>> reader.read(encode(frame), {}).to == 2 << 20
    True
    >>> reader.read(encode(frame._replace(src="stranger/0")), {})
    Traceback (most recent call last):
    contracts.frame.FrameError: E_FRAME_LANE: no lane of features.log (stranger/0)
    """

    def __init__(
        self,
        topic: str,
        pipeline: Pipeline,
        needed: Mapping[int, frozenset[str]] | None = None,
        ends: InputEnds | None = None,
        meanings: Meanings | None = None,
    ) -> None:
        self.topic = topic
        self._rules = rules_of(pipeline)
        self._lanes = self._rules.lanes_of(topic)
        self._needed = self._rules.needed.get(topic, {}) if needed is None else needed
        self._ends, self._meanings = ends, meanings
        self._empty: set[str] = set()  # lanes whose input had no record when it was asked for

    def read(self, data: bytes, lanes: Lanes) -> Frame:
        """Return the frame that a record holds.

        Args:
            data: the record's value.
            lanes: the reader's, which stay as they are.

        Raises:
            FrameError: of one of `CODES`; the record is none that a stage before this reader wrote.
            Stop: the cluster does not answer how far a lane's input has come.
        """
        frame = decode(data)
        needed = self._needed.get(frame.kind)
        if needed is None:
            raise FrameError("E_FRAME_KIND", f"rows of kind {frame.kind}", frame.src)
        plan = self._rules.plan(schema_of(data), needed)
        if plan.fault:
            raise FrameError("E_FRAME_TYPES", plan.fault, frame.src)
        self._check_rows(frame, data, plan)
        if self._meanings is not None:
            self._check_widths(frame, self._meanings)
        self._check_lane(frame, lanes)
        return frame

    def _check_rows(self, frame: Frame, data: bytes, plan: "_Plan") -> None:
        if not 0 <= frame.frm <= frame.to <= POSITION_MAX:
            raise FrameError("E_FRAME_JUMP", f"positions {frame.frm} to {frame.to}", frame.src)
        count = length(frame.rows)
        begin = len(data) - plan.row_bytes * count
        at = _first_fault(np.frombuffer(data, np.uint8), begin, count, plan.numbers, frame.frm, frame.to)
        if at >= 0:
            what = f"column {plan.names[at]} holds what no writer puts there"
            raise FrameError("E_FRAME_RANGE", what, frame.src)

    def _check_widths(self, frame: Frame, meanings: Meanings) -> None:
        for entity in meanings.own:
            codes, values = frame.rows.get(f"{entity}_definitions"), frame.rows.get(f"{entity}_values")
            if codes is None or values is None or not len(codes):
                continue
            due = len(meanings.of(entity, int(codes[0])).features)
            if values.shape[1] != due:
                what = f"{entity}_values are {values.shape[1]} wide, their definitions {due}"
                raise FrameError("E_FRAME_TYPES", what, frame.src)

    def _check_lane(self, frame: Frame, lanes: Lanes) -> None:
        at = lanes.get(frame.src)
        if at is None or frame.kind not in self._kinds(frame.src):
            self._check_name(frame)
        if self._ends is None:
            return
        end = -(-frame.to >> ROW_BITS)
        claims = at is None or (frame.claim and frame.frm > at)
        if end <= self._ends.seen(frame.src) + (0 if claims else SLACK):
            return
        if frame.src in self._empty and not claims:
            return
        known = self._ends.now(frame.src)
        if known is None:
            raise FrameError("E_FRAME_LANE", "the lane's input is not there", frame.src)
        if not known:  # an input that never had a record says nothing of what was read from it
            self._empty.add(frame.src)
        elif end > known:
            what = f"it says what came before offset {end}, its input ends at {known}"
            raise FrameError("E_FRAME_JUMP", what, frame.src)

    def _kinds(self, src: str) -> frozenset[int]:
        return self._lanes.get(src.rpartition("/")[0], frozenset())

    def _check_name(self, frame: Frame) -> None:
        number = frame.src.rpartition("/")[2]
        known = number.isdigit() and str(int(number)) == number and int(number) < PARTITIONS_MAX
        if not known or frame.kind not in self._kinds(frame.src):
            raise FrameError("E_FRAME_LANE", f"no lane of {self.topic}", frame.src)


class _Plan(NamedTuple):
    """A schema as the compiled pass reads it: (k, 5) before, test, width, low, high; or its fault."""

    names: tuple[str, ...]
    numbers: NDArray[np.int64]
    row_bytes: int
    fault: str = ""


_POS, _INT64, _INT32, _UINT8, _SAME, _TEXT, _ID, _NULLABLE = range(8)  # what the compiled pass tests


_TIME_MS = (0, TIME_MS_MAX)  # what the windows can hold; the gate is the one to judge times
_OFFSETS = (0, OFFSET_MAX)
_PARTITIONS = (0, (1 << 16) - 1)
_EVER_MS = (-1, 1 << 43)


def _specs(pipeline: Pipeline) -> dict[str, Spec]:
    """Return every column that rows of a pipeline may have."""
    links = pipeline.chain.links
    return {
        **{name: _spec(pipeline, name, fields) for name, fields in pipeline.fields_by_name.items()},
        "pos": ("<i8", _POS, (0, 0)),
        "raw_partition": ("<i4", _INT32, _PARTITIONS),
        "raw_offset": ("<i8", _INT64, _OFFSETS),
        "appended_ms": ("<i8", _INT64, _EVER_MS),
        "content_hash": ("<u8", -1, (0, 0)),
        **{link.partition: ("<i4", _INT32, _PARTITIONS) for link in links},
        **{link.position: ("<i8", _INT64, (0, POSITION_MAX)) for link in links},
        "late": ("|u1", _UINT8, (0, (1 << len(links)) - 1)),
        **{mark: ("|u1", _UINT8, (0, 1)) for source in pipeline.sources for mark in source.marks},
        **{link.definitions: ("<u8", _SAME, (0, 0)) for link in links},
        **{link.values: ("*<f8", -1, (0, 0)) for link in links},
        "traceparent": ("S", _TEXT, (0, 0)),
    }


def _spec(pipeline: Pipeline, name: str, fields: tuple[ContractField, ...]) -> Spec:
    """Return type, test and bounds of a field's column; any version's bounds, of any source, will do."""
    if any(source.time == name for source in pipeline.sources):
        return "<i8", _INT64, _TIME_MS
    if fields[0].column == "float64":
        return "<f8", -1, (0, 0)
    always = all(source.always_has_field(name) for source in pipeline.sources if name in source.names)
    if fields[0].column == "int64":
        bounds = [field.column_bounds for field in fields]
        low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
        return "<i8", _INT64 if always else _NULLABLE, (low, high)
    return "S", _ID if always else _TEXT, (0, 0)


def _plan(specs: Mapping[str, Spec], schema: bytes, needed: frozenset[str]) -> _Plan:
    """Check a schema once, and say what of its columns is to be looked at in each frame."""
    parts = [part.partition(":")[::2] for part in schema.decode("ascii").split(";")]
    names = [name for name, _ in parts]
    fault = ""
    if len(set(names)) != len(names) or len(names) > COLUMNS_MAX:
        fault = f"{len(names)} columns, {len(set(names))} names"
    elif not needed <= set(names):
        fault = f"columns {sorted(needed.difference(names))} are missing"
    lines, before = list[tuple[str, list[int]]](), 0
    for name, given in parts:
        width, _, scalar = given.rpartition("*")
        size = np.dtype(scalar).itemsize
        due, test, (low, high) = specs.get(name, (_own_type(given), -1, (0, 0)))
        fault = fault or _misfit(name, given, due)
        if test >= 0:
            lines.append((name, [before, test, size, low, high]))
        before += size * int(width or 1)
    numbers = np.array([line for _, line in lines], np.int64).reshape(-1, 5)
    found = tuple(name for name, _ in lines)
    return _Plan(found, numbers, before, fault)


def _own_type(given: str) -> str:
    """Return the type of a column that is not in the table: what newer writers add is passed on."""
    return "S" if given.startswith("|S") else given


def _misfit(name: str, given: str, due: str) -> str:
    """Say what is wrong with a column's type or shape."""
    if due == "S":
        fits = given.startswith("|S") and int(given[2:]) <= STRING_BYTES_MAX
    elif due.startswith("*"):
        fits = given.endswith(due)
    else:
        fits = given == due
    return "" if fits else f"column {name} is {given}, not {due}"


@njit(cache=True, nogil=True)
def _first_fault(
    data: NDArray[np.uint8], begin: int, count: int, plan: NDArray[np.int64], frm: int, to: int
) -> int:
    """Return the first column of the plan that holds what it may not, -1 when all are right."""
    for c in range(len(plan)):
        before, test, size, low, high = plan[c, 0], plan[c, 1], plan[c, 2], plan[c, 3], plan[c, 4]
        at = begin + before * count
        part = data[at : at + size * count]
        bad = False
        if test == _POS:
            last = frm - 1
            for value in part.view(np.int64):
                bad |= value <= last
                last = value
            bad |= last >= to
        elif test == _INT64:
            for value in part.view(np.int64):
                bad |= (value < low) | (value > high)
        elif test == _NULLABLE:
            for value in part.view(np.int64):
                bad |= ((value < low) | (value > high)) & (value != NULL)
        elif test == _INT32:
            for value in part.view(np.int32):
                bad |= (value < low) | (value > high)
        elif test == _UINT8:
            for value in part:
                bad |= (value < low) | (value > high)
        elif test == _SAME:
            words = part.view(np.uint64)
            for value in words:
                bad |= value != words[0]
        else:
            bad = not _are_texts(part, size, test == _ID)
        if bad:
            return c
    return -1


@njit(cache=True, nogil=True)
def _are_texts(part: NDArray[np.uint8], size: int, filled: bool) -> bool:
    """Tell whether values are UTF-8; if `filled`, not empty and with NULs only at their ends."""
    high = np.uint8(0)
    for byte in part:
        high |= byte
    if high > 127:
        for begin in range(0, len(part), size):
            if not _is_utf8(part[begin : begin + size]):
                return False
    if not filled:
        return True
    # Where a byte follows a NUL a value begins, or it is a NUL inside one; counted flat, which is fast.
    rises, begun = 0, 0
    for i in range(len(part) - 1):
        rises += (part[i] == 0) & (part[i + 1] != 0)
    empty = len(part) > 0 and part[0] == 0
    for begin in range(size, len(part), size):
        empty |= part[begin] == 0
        begun += part[begin - 1] == 0
    return not empty and rises == begun


@njit(cache=True, nogil=True)
def _is_utf8(value: NDArray[np.uint8]) -> bool:
    """Tell whether bytes are UTF-8 as RFC 3629 has it: no surrogates, nothing longer than it needs to be."""
    i = 0
    while i < len(value):
        lead = value[i]
        more, low, high = 0, 0x80, 0xBF
        if lead >= 0x80:
            if lead < 0xC2 or lead > 0xF4:
                return False
            more = 1 if lead < 0xE0 else 2 if lead < 0xF0 else 3
            if lead == 0xE0:
                low = 0xA0
            elif lead == 0xED:
                high = 0x9F
            elif lead == 0xF0:
                low = 0x90
            elif lead == 0xF4:
                high = 0x8F
        if i + more >= len(value):
            return False
        for j in range(1, more + 1):
            if value[i + j] < low or value[i + j] > high:
                return False
            low, high = 0x80, 0xBF
        i += 1 + more
    return True
