"""The Faust app of one stage, and nothing else: settings, one topic, one agent, and the group's signals.

Stock transport and no table: a message is a record batch, so Faust's cost a message is paid once for many
rows, and state, changelog and acknowledgement follow the protocol of `streams.stage.partition`.
"""

import asyncio
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import faust
import structlog
from faust import streams as faust_streams
from faust.tables import TableManager
from faust.types import TP

from contracts.connections import KafkaConnection
from contracts.errors import ClusterError, ConfigError, Stop
from runtime import ending
from runtime.health import Health
from runtime.input_ends import KafkaInputEnds
from streams.stage.changelog import ChangelogReader
from streams.stage.definition import StageDefinition
from streams.stage.metrics import StageMetrics
from streams.stage.outputs import OutputProducer
from streams.stage.settings import StageSettings
from streams.stage.store import store_target
from streams.stage.warm_up import warm_up
from streams.stage.worker import Servers, StageWorker, Watch, now_ms
from streams.store.no_store import NoStore
from streams.store.writer import THREAD_LIMIT_S, Events, OnlineStoreWriter

log = structlog.get_logger("streams.faust_app")
CLIENT_LOOK_S = 1.0


def build_app(definition: StageDefinition, settings: StageSettings) -> faust.App:
    """Return the app, with no agent yet.

    Raises:
        ConfigError: E_FAUST_BUILD, Faust is not its compiled build.
    """
    if vars(faust_streams)["_CStreamIterator"] is None:
        raise ConfigError(
            "E_FAUST_BUILD", "Faust's compiled stream iterator is missing; the plain one loses records",
            "faust-streaming", "install its wheel and leave NO_CYTHON unset",
        )  # fmt: skip
    settings.data_folder.mkdir(parents=True, exist_ok=True)
    brokers = settings.kafka.bootstrap_servers.split(",")
    return _App(
        definition.group,
        broker=[f"kafka://{broker.strip()}" for broker in brokers],
        broker_credentials=_credentials(settings.kafka),
        key_serializer="raw",
        value_serializer="raw",
        datadir=str(settings.data_folder / definition.group),
        topic_disable_leader=True,
        table_standby_replicas=0,
        broker_commit_interval=1.0,
        consumer_group_instance_id=settings.member or None,
        TableManager=_NoTables,
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.heartbeat_interval_s,
        consumer_auto_offset_reset="earliest",
        stream_wait_empty=True,
        web_enabled=False,
    )


class _App(faust.App):
    """An app that ends the process where Faust would go on.

    Faust starts an agent again that raises, without the record, and stops its services one after the other
    when one of them crashes, while the rest works on.
    """

    def _crash(self, reason: BaseException) -> None:
        ending.end(ending.as_error(reason, "a service of Faust"), reason)

    async def _on_agent_error(self, _agent: Any, error: BaseException) -> None:
        ending.end(ending.as_error(error, "agent"), error)


class _NoTables(TableManager):
    """Faust's tables, of which a stage has none: nothing is waited for until they are registered."""

    async def on_start(self) -> None:
        """Begin at once where `TableManager` sleeps for a second first."""
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()


class StageProcess:
    """Everything that one `headrace stream` process runs."""

    def __init__(
        self,
        definition: StageDefinition,
        settings: StageSettings,
        metrics: StageMetrics,
        health: Health | None = None,
    ) -> None:
        self.definition, self.settings, self.metrics = definition, settings, metrics
        self.health = health or Health()
        self.app = build_app(definition, settings)
        self._input = self.app.topic(
            definition.input_topic,
            value_type=bytes,
            value_serializer="raw",
            maxsize=settings.records_waiting_max,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._hurry_since_ms: float | None = None
        servers = Servers(
            OutputProducer(settings.kafka), self._store_writer(), ChangelogReader(settings.kafka),
            KafkaInputEnds(settings.kafka, settings.topic_prefix, settings.lake),
        )  # fmt: skip
        watch = Watch(metrics, self.health, self._end_offset)
        self.worker = StageWorker(definition, settings, servers, watch)
        self._bind()

    def warm(self) -> None:
        """Compile the kernels and make the first connections before the group counts on us.

        Raises:
            ClusterError: E_TOPIC_MISSING, a topic of the stage is not there.
        """
        warm_up(self.definition)
        topics = (self.definition.input_topic, self.definition.output_topic, self.definition.changelog_topic)
        for topic in topics:
            if not self.worker.servers.reader.warm(topic):
                raise ClusterError("E_TOPIC_MISSING", "the topic does not exist", topic, "run `headrace up`")

    def run(self) -> NoReturn:
        """Join the group and run until a signal; exits the process."""
        worker = _Worker(self)
        try:
            worker.execute_from_commandline()
        except SystemExit as left:
            if left.code or not worker.is_finishing:
                ending.end(Stop(ending.INTERNAL, "E_INTERNAL", f"Faust ended: {left!r}", "main thread"), left)
            # Threads of clients may still wait for Kafka; nothing of theirs is wanted any more.
            os._exit(0)

    async def finish(self) -> None:
        """Stop the input, commit what has been read, flush; at most `stop_timeout_s` in all."""
        consumer = self.app.consumer
        if consumer.assignment():
            consumer.stop_flow()
            self.app.flow_control.suspend()
            consumer.pause_partitions(consumer.assignment())
            self.app.flow_control.clear()
        if not await self.worker.finish(self.settings.stop_timeout_s * 0.7):
            log.warning("stopped_without_checkpoint", stage=self.definition.name)
            os._exit(0)  # the marker is older: the successor replays from it
        self.worker.servers.store.stop(0.3)
        self.worker.servers.outputs.close(0.3)
        log.info("finished", stage=self.definition.name)

    def _bind(self) -> None:
        app, worker = self.app, self.worker

        @app.agent(self._input, name=f"stage.{self.definition.name}")
        async def stage(stream: Any) -> None:
            async for event in stream.noack().events():
                message = event.message
                data = event.value or b""  # a stranger's record may have no value
                await worker.receive(
                    message.partition, message.generation_id, message.offset, data, event.ack
                )

        @app.task  # type: ignore[untyped-decorator]
        async def timer() -> None:
            self._loop = asyncio.get_running_loop()
            worker.servers.store.start()
            await worker.run_timer(self._hurries)

        @app.task  # type: ignore[untyped-decorator]
        async def client() -> None:
            await self.watch_client()

        @app.on_partitions_assigned.connect  # type: ignore[arg-type]  # Faust's own type lacks its argument
        async def on_assigned(_app: Any, assigned: Iterable[TP], **_: Any) -> None:
            worker.assigned([tp.partition for tp in assigned], app.consumer_generation_id)

        @app.on_partitions_revoked.connect  # type: ignore[arg-type]
        async def on_revoked(_app: Any, revoked: Iterable[TP], **_: Any) -> None:
            worker.revoked([tp.partition for tp in revoked])

    async def watch_client(self) -> None:
        """Look, until the end, whether the tasks of Faust's Kafka client still run; nobody else asks them.

        They live in a thread of Faust's with a loop of its own. Without the one that fetches no record comes
        any more, and nothing else would show it.
        """
        with ending.Fatal("watch over Faust's Kafka client"):
            consumer: Any = self.app.consumer
            thread = consumer._thread
            ending.guard_loop(thread.thread_loop)
            while not self.worker.stopping:
                await asyncio.sleep(CLIENT_LOOK_S)
                for what, task in _client_tasks(thread._consumer):
                    if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                        ending.end(ending.as_error(error, f"Faust's Kafka client: {what}"), error)

    def _hurries(self) -> bool:
        """Return whether the group rebalances; one that waits too long for us is freed by our end."""
        if not self.app.rebalancing:
            self._hurry_since_ms = None
            return False
        if self._hurry_since_ms is None:
            self._hurry_since_ms = now_ms()
        waited_ms = now_ms() - self._hurry_since_ms
        if not self.worker.settled and waited_ms > self.settings.rebalance_wait_ms:
            what = f"no checkpoint in {waited_ms:.0f} ms of a rebalance"
            raise Stop(76, "E_REBALANCE_WAIT", what, "is the online store down?")
        return True

    def _end_offset(self, partition: int) -> int | None:
        end: int | None = self.app.consumer.highwater(TP(self.definition.input_topic, partition))
        return end

    def _store_writer(self) -> OnlineStoreWriter | NoStore:
        settings, definition, metrics = self.settings, self.definition, self.metrics
        if not definition.online:
            return NoStore()

        def written(rows: int, seconds: float) -> None:
            metrics.store_rows.inc(rows)
            metrics.store_seconds.observe(seconds)

        def progressed() -> None:
            if self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self.worker.release)

        def breaker(is_open: bool, reason: str) -> None:
            metrics.breaker_open.set(is_open)
            log.warning("store_breaker", stage=definition.name, open=is_open, reason=reason)

        target = store_target(definition, settings)
        part = self.health.part("store", THREAD_LIMIT_S)
        events = Events(written, progressed, breaker, part)
        return OnlineStoreWriter(target, settings.store, events, time.monotonic)


class _Worker(faust.Worker):
    """Faust's worker, but a signal first brings the stage to a checkpoint, and a crash ends the process."""

    def __init__(self, process: StageProcess) -> None:
        super().__init__(
            process.app, loglevel="warning", quiet=True, redirect_stdouts=False, override_logging=False
        )
        self.spinner = None  # a log is no screen
        self._process = process
        self._finishing: asyncio.Task[None] | None = None
        ending.guard_loop(self.loop)

    @property
    def is_finishing(self) -> bool:
        """Return whether a signal asked it to end."""
        return self._finishing is not None

    async def start(self) -> None:
        """Start; what cannot be started ends the process."""
        with ending.Fatal("start of Faust"):
            await super().start()

    def _crash(self, reason: BaseException) -> None:
        ending.end(ending.as_error(reason, "Faust's worker"), reason)

    def _on_sigterm(self) -> None:
        self._finish(super()._on_sigterm)

    def _on_sigint(self) -> None:
        self._finish(super()._on_sigterm)

    def _finish(self, then: Callable[[], None]) -> None:
        if self._finishing is None:
            limit = threading.Timer(self._process.settings.stop_timeout_s, os._exit, (0,))
            limit.daemon = True  # a thread, since Faust closes the loop before it has waited for all
            limit.start()
            self._finishing = self.loop.create_task(self._process.finish())
            ending.guard_future(self._finishing, "last checkpoint")
            self._finishing.add_done_callback(lambda _: then())
        # a second signal changes nothing: the first one ends within its time


def _client_tasks(client: Any) -> list[tuple[str, "asyncio.Task[Any]"]]:
    """Return the background tasks of an aiokafka consumer that has started."""
    return [
        ("fetching", client._fetcher.error_future),
        ("membership of the group", client._coordinator._coordination_task),
        ("metadata", client._client._sync_task),
    ]


def _credentials(kafka: KafkaConnection) -> faust.types.auth.CredentialsT | None:
    secured = "ssl" in kafka.security_protocol
    context = ssl.create_default_context(cafile=kafka.ssl_ca_location or None) if secured else None
    if kafka.security_protocol.startswith("sasl"):
        return faust.SASLCredentials(
            username=kafka.sasl_username, password=kafka.sasl_password, ssl_context=context,
            mechanism=kafka.sasl_mechanism,
        )  # fmt: skip
    return faust.SSLCredentials(context) if secured else None
