"""Scenario `drift`: every contestant on every scene and seed, by delay, misses, false alarms and CPU.

A delay is counted in events of the stream, to the end of the chunk in which the alarm was raised, as the
service would raise it. An alarm before the change, or on a stream that does not change, is false.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from inference.drift.sample import Sample
from inference.drift.settings import DriftSettings
from load.bench.drift.judges import CONTESTANTS, Contestant, Judge
from load.bench.drift.scenes import SCENES, Scene, Stream, handbook_scenes
from load.bench.drift.watch_cost import watch_cost
from load.bench.measure import Figures, Meter
from load.bench.outcome import Outcome

SEED = 20260101
NO_HANDBOOK = "the handbook's transactions are not in the folder HANDBOOK_DATA: its scenes were left out"


class Score(msgspec.Struct, kw_only=True):
    """What a contestant came to on a scene, over its seeds."""

    streams: int = 0
    changes: int = 0
    missed: int = 0
    delays: list[int] = []
    false_alarms: int = 0
    stable_events: int = 0
    events: int = 0
    cpu_s: float = 0.0

    def add(self, other: "Score") -> None:
        """Take in the score of other streams."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def as_json(self) -> dict[str, Any]:
        """Return the figures as they are stored; delays are of changes that were found.

        >>> score = Score(changes=2, missed=1, delays=[400], stable_events=20_000, false_alarms=1)
        >>> score.as_json()["delay_median"], score.as_json()["false_per_10k"]
        (400.0, 0.5)
        """
        delays = np.array(self.delays, np.float64)
        return {
            "streams": self.streams,
            "changes": self.changes,
            "missed_share": self.missed / self.changes if self.changes else None,
            "delay_median": float(np.median(delays)) if len(delays) else None,
            "delay_p90": float(np.quantile(delays, 0.9)) if len(delays) else None,
            "false_per_10k": 1e4 * self.false_alarms / self.stable_events if self.stable_events else None,
            "cpu_us": round(1e6 * self.cpu_s / self.events, 4) if self.events else None,
        }


def run() -> Outcome:
    """Run all and report."""
    handbook = handbook_scenes(Path(os.environ.get("HANDBOOK_DATA", "data/handbook")))
    outcome = evaluate((*SCENES, *handbook), notes=[] if handbook else [NO_HANDBOOK])
    return msgspec.structs.replace(outcome, more=outcome.more | {"watch_cpu_us": watch_cost()})


def evaluate(
    scenes: Sequence[Scene], contestants: Sequence[Contestant] = CONTESTANTS, seeds: int | None = None,
    notes: Sequence[str] = (),
) -> Outcome:  # fmt: skip
    """Run contestants on scenes; `seeds` is less than the scenes' own in tests."""
    meter = Meter()
    found: dict[str, dict[str, Score]] = {}
    streams = 0
    for scene in scenes:
        for seed in range(seeds or scene.seeds):
            name = [ord(letter) for letter in scene.name]
            stream = scene.make(np.random.default_rng([SEED, seed, *name]))
            streams += len(stream.values)
            for contestant in contestants:
                if scene.kind in contestant.kinds:
                    score = judge(stream, scene, contestant.make(stream, scene.kind))
                    found.setdefault(contestant.name, {}).setdefault(scene.name, Score()).add(score)
    return Outcome(
        figures=meter.read(streams),
        parts={name: _figures(scores) for name, scores in found.items()},
        seed=SEED,
        more={
            "scenes": [
                {"name": s.name, "about": s.about, "seeds": seeds or s.seeds, "every_row": s.every_row}
                for s in scenes
            ],
            "sample_every": DriftSettings().sample_every,
            "detectors": {
                name: {scene: score.as_json() for scene, score in scores.items()}
                for name, scores in found.items()
            },
            "totals": {name: total(scores).as_json() for name, scores in found.items()},
        },
        notes=list(notes),
    )  # fmt: skip


def judge(stream: Stream, scene: Scene, contestant: Judge) -> Score:
    """Return what one contestant made of one stream."""
    settings = DriftSettings()
    sample = Sample(1 if scene.every_row else settings.sample_every, settings.chunk_rows)
    picked = sample.pick(len(stream.values))
    numbers = np.arange(len(stream.values))[picked]
    chunks = sample.chunks(stream.values[picked][:, None], stream.event_ms[picked])
    change = len(stream.values) if stream.change_at is None else stream.change_at
    score = Score(streams=1, changes=int(stream.change_at is not None), delays=[], events=len(stream.values))
    first: int | None = None
    began_s = time.process_time()
    for at, chunk in enumerate(chunks):
        alarms = contestant.feed(chunk.matrix[:, 0], chunk.event_ms)
        if alarms:
            end = int(numbers[(at + 1) * settings.chunk_rows - 1])
            if end < change:
                score.false_alarms += alarms
            elif first is None:
                first = end
    score.cpu_s = time.process_time() - began_s
    score.stable_events = change
    if stream.change_at is not None:
        score.missed = int(first is None)
        score.delays = [] if first is None else [first - stream.change_at]
    return score


def total(scores: dict[str, Score]) -> Score:
    """Return the sum over scenes."""
    whole = Score(delays=[])
    for score in scores.values():
        whole.add(score)
    return whole


def _figures(scores: dict[str, Score]) -> Figures:
    whole = total(scores)
    return Figures(events=whole.events, wall_s=whole.cpu_s, cpu_s=whole.cpu_s, peak_rss_mib=0.0)
