"""Records that no stage wrote, on the topics between the stages."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from contracts.frame import Frame, Kind, decode, encode, position
from load.this_project import PIPELINE

BETWEEN = {*(link.input for link in PIPELINE.chain.links), "features.log"}
TopicPart = tuple[str, int]
FAR = (position(10_000_000), 2**62)


def stranger(rng: random.Random, logs: Mapping[TopicPart, Sequence[Any]]) -> tuple[TopicPart, bytes]:
    """Return where a stranger writes, and what: rather a record that is nearly one of ours."""
    place = rng.choice(sorted(place for place in logs if place[0] in BETWEEN))
    ours = [record.value for record in logs[place] if record.value and record.by != "stranger"]
    if not ours:
        return place, rng.choice((b"", b"nonsense", encode(_frame(f"{place[0]}/0"))))
    data = rng.choice(ours)
    frame = decode(data)
    far = rng.choice(FAR)
    return place, rng.choice(
        (
            data[:-1],
            data.replace(b"event_time:<i8", b"event_time:<f8"),
            encode(frame._replace(claim=True, frm=far, to=far + 5)),
            encode(frame._replace(to=far)),
            encode(frame._replace(src=f"s{rng.randrange(10**9)}/0")),
            encode(frame._replace(src=frame.src.rpartition("/")[0] + "/77")),
            encode(frame._replace(kind=9)),
            encode(frame._replace(rows=frame.rows | {"pos": frame.rows["pos"][::-1] - 1 - 2**62})),
            encode(frame._replace(rows=frame.rows | {"event_time": frame.rows["event_time"] - 2**62})),
        )
    )


def _frame(src: str) -> Frame:
    return Frame(src, 0, 2**62, True, Kind.SCORED, {"pos": np.array([1])})
