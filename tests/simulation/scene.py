"""What a run of the simulation is of: a project, what producers publish, and who judges what is left."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from contracts.hashed_fields import HashKey, HashKeys
from features.project.running import RunningProject
from inference.policy.policy import DeclaredPolicy, ReasonTerms, read_policy
from tests.simulation.published import Published

SECRET = b"the secret of the simulation"


class Producers(Protocol):
    """Draws a run's records."""

    def records(self, count: int) -> list[Published]:
        """Return the records of the run, in the order in which they are published."""

    def probes(self) -> list[Published]:
        """Return records that show what every key's state holds."""


@dataclass(frozen=True)
class Scene:
    """A project in the simulation.

    Args:
        project: what the workers run.
        producers: makes those of a run, from its generator and the partitions of the sources' topics.
        judge: returns what is wrong with what a run left behind.
    """

    project: RunningProject
    producers: Callable[[random.Random, int], Producers]
    judge: Callable[[Any], list[str]]

    @property
    def raw_topics(self) -> Sequence[str]:
        """The topics of its sources."""
        return [source.topic for source in self.project.pipeline.sources]

    @property
    def keys(self) -> HashKeys | None:
        """The secret of its personal keys, where it has any."""
        if not any(source.hashed for source in self.project.pipeline.sources):
            return None
        return HashKeys((HashKey(version=1, from_ms=0, secret=SECRET),))

    def policy(self) -> DeclaredPolicy:
        """Return its policy, which gives no reasons: those ask the model for much and decide nothing."""
        declared = read_policy(self.project.policy_path, self.project)
        policy = msgspec.structs.replace(declared.policy, reasons=ReasonTerms(a_row=3, rows_max=0))
        return msgspec.structs.replace(declared, policy=policy)

    def partitions(self, raw: int, own: int) -> dict[str, int]:
        """Return the topics of a run and how many partitions each has."""
        pipeline, topics = self.project.pipeline, self.raw_topics
        between = [pipeline.stage_inputs[link.name].name for link in pipeline.chain.links]
        changelogs = [link.changelog for link in pipeline.chain.links]
        return {
            **dict.fromkeys(topics, raw), **dict.fromkeys([f"{topic}.dlq" for topic in topics], own),
            **dict.fromkeys([*between, "features.log", *changelogs], own),
            "predictions": 2, "drift": 1, "reviews": 1,
        }  # fmt: skip
