"""Apache Kafka on loopback: one KRaft node, broker and controller in one process, run from its jars."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka import KafkaException

from contracts.connections import KafkaConnection
from contracts.errors import ClusterError, ConfigError
from headrace.last_words import last_words
from headrace.servers import jars, java
from headrace.servers.server import Server, listens
from runtime.kafka_clients import new_admin

VERSION = "4.1.0"
CLUSTER_ID = "aGVhZHJhY2UtbG9jYWwtMQ"  # any 16 bytes in base64; one node needs no other
HEAP = "512m"
YEAR_MINUTES = 525_600
TOOLS = {
    "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
    "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-configs": "kafka.admin.ConfigCommand",
}
LOG4J = Path(__file__).parent / "log4j2.properties"
QUIET_LOG4J = Path(__file__).parent / "log4j2-tools.properties"


class Kafka(Server):
    """The broker; its first port is for clients, its second for its own controller."""

    name = "kafka"
    ready_timeout_s = 60.0
    stop_patience_s = 20.0
    port_count = 2

    def __init__(self, folder: Path, cache: Path, *, tethered: bool) -> None:
        super().__init__(folder, tethered=tethered)
        self.cache = cache

    def command(self, ports: tuple[int, ...]) -> list[str]:
        """Write the broker's settings, format its storage once, and return its command line."""
        settings = self.folder / "server.properties"
        settings.write_text("".join(f"{key}={value}\n" for key, value in self._settings(ports).items()))
        if not (self.folder / "data" / "meta.properties").exists():
            self._format(settings)
        return [*self.java(), "kafka.Kafka", str(settings)]

    def java(self, heap: str = HEAP, logging: Path = LOG4J) -> list[str]:
        """Return the start of a command line that runs a class of Kafka's."""
        return [
            java.find(),
            f"-Xms{heap}",
            f"-Xmx{heap}",
            "-XX:TieredStopAtLevel=1",  # docs/decisions/0047
            "-XX:+UseG1GC",
            "-XX:MaxGCPauseMillis=20",
            "-XX:+ExitOnOutOfMemoryError",
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={logging}",
            f"-Dheadrace.logs={self.folder / 'logs'}",
            "-cp",
            jars.class_path(self.cache),
        ]

    def tool(self, name: str, arguments: Sequence[str]) -> list[str]:
        """Return the command line of one of Kafka's console programs.

        Raises:
            ConfigError: E_KAFKA_TOOL, it is none of them.
        """
        if name not in TOOLS:
            raise ConfigError("E_KAFKA_TOOL", "no such program", name, f"one of {', '.join(TOOLS)}")
        return [*self.java("128m", QUIET_LOG4J), TOOLS[name], *arguments]

    def answers(self, port: int) -> bool:
        """Return whether the broker serves requests."""
        return broker_answers(port)

    def last_words(self) -> str:
        """Return the end of the broker's own log too."""
        return last_words(self.folder / "logs" / "server.log") + "\n" + super().last_words()

    def _format(self, settings: Path) -> None:
        command = [*self.java(), "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(settings)]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ)
        if answer.returncode:
            raise ClusterError(
                "E_KAFKA_FORMAT", f"Kafka's storage cannot be formatted: {answer.stdout}{answer.stderr}",
                str(self.folder), "delete the folder and start again",
            )  # fmt: skip

    def _settings(self, ports: tuple[int, ...]) -> dict[str, object]:
        """Return the broker's settings: frugal, since it shares the machine with all the workers."""
        client, controller = ports
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{client}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": self.folder / "data",
            "auto.create.topics.enable": "false",  # a misspelt topic is an error, not a topic
            "num.partitions": 4,
            "default.replication.factor": 1,
            "offsets.topic.num.partitions": 4,
            "offsets.topic.replication.factor": 1,
            "offsets.retention.minutes": YEAR_MINUTES,  # an idle group must not start again from nowhere
            "transaction.state.log.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
            "share.coordinator.state.topic.num.partitions": 4,
            "log.retention.minutes": YEAR_MINUTES,
            "log.cleaner.dedupe.buffer.size": 16_777_216,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1000,  # a dead worker is missed after 3 s, not after 6
            "num.network.threads": 2,
            "num.io.threads": 4,
        }


def broker_answers(port: int) -> bool:
    """Return whether a broker of this machine is in its own metadata."""
    if not listens(port):
        return False
    client = new_admin(KafkaConnection(bootstrap_servers=f"127.0.0.1:{port}"), "servers")
    try:
        return bool(client.list_topics(timeout=1.0).brokers)
    except KafkaException:
        return False
