"""Where a benchmark of processes runs: local servers, a run of its own, and the workers it asks for."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from headrace import topics_admin
from headrace.last_words import last_words
from headrace.processes import Process, spawn
from headrace.servers import Servers
from headrace.stack import FreshStack, Stack
from headrace.supervisor import STOP_PATIENCE_S
from runtime import launch

COMPILE_TIMEOUT_S = 300.0  # kernels of a fresh checkout, on a busy machine
IDLE_S = 0.5  # without movement: what was sent is through
Places = dict[tuple[str, int], int]  # offset by topic and partition


@contextmanager
def local_servers(root: Path) -> Iterator[Servers]:
    """Use the servers that run, or start some that end with the block."""
    with closing(Stack(root)) as stack:
        yield stack.start_servers()


class BenchStack(FreshStack):
    """One run on running servers, with one worker and so one partition of a kind.

    Leaving the block stops its workers and deletes its topics.
    """

    def __init__(self, root: Path, servers: Servers, name: str, partitions: int = 1) -> None:
        super().__init__(root, f"bench-{name}-{time.time_ns() // 1_000_000}", partitions)
        self._servers = servers
        self._processes: list[Process] = []

    def close(self) -> None:
        """Stop what runs, then delete the topics."""
        self.stop_workers()
        for process in self._processes:
            process.stop(STOP_PATIENCE_S)
        if self.is_open:
            topics_admin.delete(self.kafka, self.run.topic_prefix)
            self.is_open = False
        super().close()

    def start_module(self, worker: str, *command: str, **environment: str) -> int:
        """Start `python -m command...` as a worker of the run, wait until it is ready, return its id.

        Args:
            worker: the name under which it notes its metrics' port when it is ready.
            command: a module and its arguments.
            environment: variables for it.

        Raises:
            RuntimeError: it ended, or was not ready in time.
        """
        log, note = self.run.logs / f"{worker}.log", self.run.ports / f"{worker}.json"
        note.unlink(missing_ok=True)
        variables = {**os.environ, "HEADRACE_RUN": str(self.run.home), **environment}
        process = spawn(launch.command(*command), log, variables, tethered=True)
        self._processes.append(process)
        deadline_s = time.monotonic() + COMPILE_TIMEOUT_S
        while not note.exists():
            if not process.alive() or time.monotonic() > deadline_s:
                raise RuntimeError(f"{worker} did not start; its last words:\n{last_words(log)}")
            time.sleep(0.05)
        return process.pid

    @property
    def server_pids(self) -> dict[str, int]:
        """Return the process ids of Kafka and Redis."""
        return self._servers.pids

    def topic(self, name: str) -> str:
        """Return a topic's full name."""
        return self.run.topic_prefix + name

    def ends(self, topics: Sequence[str]) -> Places:
        """Return the offset behind the last record of each partition, of transactions still open too."""
        look = Consumer(
            {
                **self.kafka.librdkafka(),
                "group.id": self.topic("bench-ends"),
                "isolation.level": "read_uncommitted",
            }
        )
        try:
            return {
                (name, partition): look.get_watermark_offsets(
                    TopicPartition(self.topic(name), partition), timeout=10.0
                )[1]
                for name in topics
                for partition in range(self.run.partitions)
            }
        finally:
            look.close()

    def await_group(self, group: str, ends: Places, timeout_s: float = 300.0) -> None:
        """Wait until a consumer group has committed the ends of topics.

        Args:
            group: its name without the run's prefix.
            ends: from `ends`, taken before a transaction commits: the mark that ends one takes an offset
                which no group commits before another record follows.
            timeout_s: the patience.

        Raises:
            TimeoutError: it has not after `timeout_s`.
        """
        places = [TopicPartition(self.topic(name), i) for (name, i), end in ends.items() if end]
        awaited = [end for end in ends.values() if end]
        look = Consumer(
            {**self.kafka.librdkafka(), "group.id": self.topic(group), "enable.auto.commit": False}
        )
        deadline_s = time.monotonic() + timeout_s
        try:
            while any(
                place.offset < end for place, end in zip(look.committed(places, 10.0), awaited, strict=True)
            ):
                if time.monotonic() > deadline_s:
                    raise TimeoutError(f"group {group} is not at {ends} after {timeout_s:.0f} s")
                time.sleep(0.02)
        finally:
            look.close()
