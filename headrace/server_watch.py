"""Asks Kafka and Redis again and again whether they answer, and starts local ones that died.

A thread a server, since a server that starts takes a while. A server that a command stopped is left stopped.
"""

import re
import time
from collections.abc import Callable

import msgspec
from confluent_kafka import KafkaException

from contracts.connections import KafkaConnection, RedisConnection
from contracts.errors import HeadraceError
from headrace.servers import LocalServers
from headrace.servers.server import Server
from headrace.watch_thread import WatchThread
from runtime.kafka_clients import new_admin
from runtime.redis_socket import RedisSocket, StoreDown

EVERY_S = 0.5
ANSWER_S = 1.5
SILENT_MAX = 2  # questions in a row without an answer; together with the above below 5 s
PAUSE_MAX_S = 60.0
LINES = 3
LOUD = re.compile(r"ERROR|FATAL|Exception|No space left|Can't|OOM")  # of Kafka's log and Redis'

Report = Callable[[str], None]


class ServerState(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a server answers, and what is wrong where it does not."""

    name: str
    answers: bool = True
    what: str = ""


def ask_kafka(kafka: KafkaConnection) -> Callable[[], str]:
    """Return a question that is quick to ask again: "" where Kafka answers, else what is wrong."""
    admin = new_admin(kafka, "server-watch")

    def ask() -> str:
        admin.poll(0)  # lets go of what it noted about its connections
        try:
            admin.list_topics(timeout=ANSWER_S)
        except KafkaException as error:
            return f"does not answer: {error.args[0].str()}"
        return ""

    return ask


def ask_redis(to: RedisConnection) -> Callable[[], str]:
    """Return a question that is quick to ask again: "" where Redis answers, else what is wrong."""

    def ask() -> str:
        try:
            with RedisSocket(to, ANSWER_S, ANSWER_S) as line:
                line.command("PING")
        except StoreDown as error:
            return f"does not answer: {error.what}"
        return ""

    return ask


class ServerWatch(WatchThread):
    """Watches one server in a thread of its own until it is closed.

    Args:
        name: as people read it.
        ask: the question, "" for an answer that is well.
        local: the server when it runs on this machine and is ours to start again.
        restart: starts it again on its ports.
    """

    def __init__(
        self, name: str, ask: Callable[[], str], report: Report, local: Server | None = None,
        restart: Callable[[], object] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(name, EVERY_S, report)
        self._ask, self._local, self._restart = ask, local, restart
        self._silent, self._failed_starts, self._next_start_s = 0, 0, 0.0
        self.state = ServerState(name=name)

    def look(self) -> None:
        """Ask once, and do what follows."""
        wrong = self._ended() or self._ask()
        if not wrong:
            self._silent = self._failed_starts = 0
            self._set(ServerState(name=self._name))
            return
        self._silent += 1
        if self._local is not None and self._local.alive is None:
            self._set(ServerState(name=self._name, answers=False, what=wrong))
            self._start_again()
        elif self._silent >= SILENT_MAX:
            self._set(ServerState(name=self._name, answers=False, what=wrong))

    def _ended(self) -> str:
        """Return how a local server's process is gone; "" while it lives or is not ours."""
        if self._local is None or self._local.alive is not None:
            return ""
        if self._local.is_stopped:
            return "was stopped by a command; `headrace servers start` starts it"
        loud = [line for line in self._local.last_words().splitlines() if LOUD.search(line)]
        words = "".join(f"\n{line}" for line in loud[-LINES:])
        return f"has ended (log: {self._local.log.parent}){words}"

    def _start_again(self) -> None:
        if self._local is None or self._restart is None or self._local.is_stopped:
            return
        if time.monotonic() < self._next_start_s or self._closing.is_set():
            return
        try:
            self._restart()
        except HeadraceError as error:
            self._failed_starts += 1
            pause_s = min(2.0**self._failed_starts, PAUSE_MAX_S)
            self._next_start_s = time.monotonic() + pause_s
            self._report(f"{self._name} does not start, next try in {pause_s:.0f} s: {error}")
        else:
            self._report(f"{self._name} was started again")

    def _set(self, state: ServerState) -> None:
        if state.answers != self.state.answers:
            self._report(f"{self._name} answers again" if state.answers else f"{self._name} {state.what}")
        self.state = state


def watches(
    kafka: KafkaConnection, to: RedisConnection, local: LocalServers | None, report: Report
) -> list[ServerWatch]:
    """Return the watches of a deployment's servers, not started."""
    if local is None:
        return [ServerWatch("Kafka", ask_kafka(kafka), report), ServerWatch("Redis", ask_redis(to), report)]
    return [
        ServerWatch("Kafka", ask_kafka(kafka), report, local.kafka, local.start_kafka),
        ServerWatch("Redis", ask_redis(to), report, local.redis, local.start_redis),
    ]
