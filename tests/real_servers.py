"""The Kafka and Redis that tests talk to: official images where a Docker engine answers, else local ones."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Protocol

from docker.client import DockerClient
from docker.errors import DockerException
from testcontainers.core.container import DockerContainer

from headrace.servers import LocalServers, ephemeral
from headrace.servers.kafka import VERSION, broker_answers
from headrace.servers.ports import free, from_environment
from headrace.servers.redis import redis_answers
from tests.waiting import until

DOCKER_SOCKET = "/var/run/docker.sock"
REDIS_IMAGE = "redis:8.2"
DATABASES = 512


class RealServers(Protocol):
    """What a test may do to the servers, wherever they run."""

    bootstrap_servers: str
    redis_url: str

    def restart_kafka(self) -> None: ...
    def stop_redis(self) -> None: ...
    def start_redis(self) -> None: ...


class OnThisMachine:
    """Servers started from jars and wheels."""

    def __init__(self, local: LocalServers) -> None:
        self._local = local
        servers = local.start()
        self.bootstrap_servers, self.redis_url = servers.bootstrap_servers, servers.redis_url

    def restart_kafka(self) -> None:
        """Crash Kafka and start it again on the same port."""
        self._local.restart_kafka(crash=True)

    def stop_redis(self) -> None:
        """Stop Redis."""
        self._local.stop_redis()

    def start_redis(self) -> None:
        """Start Redis again, empty."""
        self._local.start_redis()


class InDocker:
    """Servers from the official images; the ports are chosen here, so that a restart keeps them."""

    def __init__(self, kafka: DockerContainer, redis: DockerContainer, ports: tuple[int, int]) -> None:
        self._kafka, self._redis, self._ports = kafka, redis, ports
        self.bootstrap_servers, self.redis_url = f"127.0.0.1:{ports[0]}", f"redis://127.0.0.1:{ports[1]}"
        self.await_ready()

    def await_ready(self) -> None:
        """Wait until both answer, by the same checks as the local ones'."""
        until(lambda: broker_answers(self._ports[0]), timeout_s=90.0, what="Kafka's container is ready")
        until(lambda: redis_answers(self._ports[1]), timeout_s=60.0, what="Redis' container is ready")

    def restart_kafka(self) -> None:
        """Crash Kafka and start it again on the same port."""
        container = self._kafka.get_wrapped_container()
        container.kill()
        container.start()
        self.await_ready()

    def stop_redis(self) -> None:
        """Stop Redis."""
        self._redis.get_wrapped_container().stop()

    def start_redis(self) -> None:
        """Start Redis again, empty."""
        self._redis.get_wrapped_container().start()
        self.await_ready()


def docker_answers() -> bool:
    """Return whether a Docker engine is here."""
    if "DOCKER_HOST" not in os.environ and not _connects(DOCKER_SOCKET):
        return False
    try:
        client = DockerClient.from_env(timeout=3)
        client.ping()
        client.close()
    except DockerException:
        return False
    return True


def _connects(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as line:
        return line.connect_ex(path) == 0


@contextmanager
def real_servers(folder: Path) -> Iterator[RealServers]:
    """Run the servers of a test session."""
    if not docker_answers():
        with ephemeral(folder) as local:
            yield OnThisMachine(local)
        return
    kafka_port, redis_port = islice(free(from_environment()), 2)
    with _kafka(kafka_port) as kafka, _redis(redis_port) as redis:
        yield InDocker(kafka, redis, (kafka_port, redis_port))


def _kafka(port: int) -> DockerContainer:
    settings = {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:29093",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENERS": f"PLAINTEXT://:{port},CONTROLLER://localhost:29093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "4",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "4",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
        "KAFKA_HEAP_OPTS": "-Xms512m -Xmx512m",
    }
    return DockerContainer(f"apache/kafka:{VERSION}").with_envs(**settings).with_bind_ports(port, port)


def _redis(port: int) -> DockerContainer:
    command = f"redis-server --databases {DATABASES} --save '' --appendonly no --maxmemory-policy noeviction"
    return DockerContainer(REDIS_IMAGE).with_command(command).with_bind_ports(6379, port)
