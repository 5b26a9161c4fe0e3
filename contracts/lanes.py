"""Placed lanes: how a reader of an inter-stage topic gets every row once, whatever its writers did.

A lane is (writer's input topic and partition -> target partition). A record says which input positions
it holds all rows of; a reader keeps one number a lane, the next position it has not seen, and `accept`
is the only rule by which anything of ours reads such a topic. A copy, a zombie's late record and a hole
left by a failed request all fall away in it. docs/architecture.md, "Exactness", has the argument.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from contracts.frame import Columns, Frame, encode, groups_of, length, take

Lanes = dict[str, int]
RECORD_BYTES_MAX = 900_000  # under the broker's default of 1 MiB with room for headers and batch framing


def accept(frame: Frame, lanes: Lanes, on_gap: Callable[[Frame], None]) -> Columns:
    """Return the rows of `frame` not seen before on its lane, and move the lane's number on.

    A record that begins beyond the lane's number is dropped and told to `on_gap`: its writer may not
    checkpoint past the hole, so it comes again. The first record of a writer's incarnation claims that
    all below its `frm` is already in the log before it.

    >>> rows = {"pos": np.array([5, 6])}
    >>> lanes = {"a/0": 6}
    >>> accept(Frame("a/0", 5, 7, True, 1, rows), lanes, print)["pos"], lanes
    (array([6]), {'a/0': 7})
    """
    begin = lanes.get(frame.src, 0)
    if frame.claim:
        begin = max(begin, frame.frm)
    if frame.frm > begin:
        on_gap(frame)
        return take(frame.rows, slice(0, 0))
    lanes[frame.src] = max(begin, frame.to)
    if frame.frm == begin:
        return frame.rows
    return take(frame.rows, frame.rows["pos"] >= begin)


def rejoin(frame: Frame, lanes: Lanes, joined: set[str]) -> tuple[str, int, int] | None:
    """Let a lane go on behind records that its reader knows to be gone; called before `accept`.

    Behind such a hole a lane's first record that reaches beyond the lane's number says where the lane goes
    on: what lies between was in the hole. From then on the lane is in `joined`, and `accept` alone rules.

    Returns:
        The lane and the positions [frm, to) that the hole held of it; None where it held none.

    >>> lanes, joined = {"a/0": 6}, set()
    >>> rejoin(Frame("a/0", 9, 12, False, 1, {}), lanes, joined), lanes
    (('a/0', 6, 9), {'a/0': 9})
    >>> rejoin(Frame("a/0", 20, 30, False, 1, {}), lanes, joined), lanes
    (None, {'a/0': 9})
    """
    begin = lanes.get(frame.src, 0)
    if frame.src in joined or frame.to <= begin:
        return None
    joined.add(frame.src)
    if frame.frm <= begin:
        return None
    lanes[frame.src] = frame.frm
    return frame.src, begin, frame.frm


class LaneWriter:
    """The writer's side of all lanes that leave one input partition, for one incarnation.

    `base` is the position from which this incarnation reads its input: all below it is acknowledged.

    >>> writer = LaneWriter("orders/0", base=0)
    >>> rows = {"pos": np.array([0, 1])}
    >>> [target for target, _ in writer.emit(1, rows, np.array([2, 0], np.int32), upto=2)]
    [0, 2]
    """

    def __init__(self, src: str, base: int) -> None:
        self.src = src
        self.base = base
        self._sent: dict[int, int] = {}

    def emit(
        self, kind: int, rows: Columns, targets: NDArray[np.int32], upto: int
    ) -> list[tuple[int, bytes]]:
        """Return (target partition, record) pairs that hold `rows`, in input order inside each target.

        Args:
            kind: the frames' `Kind`.
            rows: n rows in order of `pos`; positions are at least those of earlier calls.
            targets: shape (n,), the partition of each row.
            upto: the input position after this batch; every lane written here now reaches it.
        """
        records: list[tuple[int, bytes]] = []
        for target, which in groups_of(targets):
            part = rows if isinstance(which, slice) else take(rows, which)  # of one target all
            records += [(target, data) for data in self._lane(target, kind, part, upto)]
        return records

    def _lane(self, target: int, kind: int, part: Columns, upto: int) -> list[bytes]:
        pos = part["pos"]
        step = _rows_a_record(part)
        pieces = []
        for first in range(0, len(pos), step):
            piece = part if step >= len(pos) else take(part, slice(first, first + step))
            end = upto if first + step >= len(pos) else int(pos[first + step - 1]) + 1
            frm = self._sent.get(target, self.base)
            pieces.append(encode(Frame(self.src, frm, end, target not in self._sent, kind, piece)))
            self._sent[target] = end
        return pieces


def _rows_a_record(part: Columns) -> int:
    """Return how many rows fit one record: row widths are fixed within a batch."""
    row_bytes = sum(column.nbytes for column in part.values()) / max(1, length(part))
    return max(1, int(RECORD_BYTES_MAX / max(1.0, row_bytes)))
