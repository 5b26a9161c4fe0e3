"""Where the servers are and how to speak to them: one frozen object a server, secrets hidden when printed."""

import logging
from typing import Literal, Protocol
from urllib.parse import unquote, urlsplit

import msgspec

from contracts.errors import ConfigError

SecurityProtocol = Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]
LOOPBACK = ("127.0.0.1", "localhost", "::1")


# A broker that comes back is found within a second; librdkafka by itself waits up to ten.
RECONNECT: dict[str, object] = {"reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 1000}
CLIENT_ERROR = "E_KAFKA_CLIENT"
CRITICAL = 2  # librdkafka would print every failed attempt to connect, twenty a second, past all limits

log = logging.getLogger("headrace.kafka")
log.addHandler(logging.NullHandler())  # a command says by itself what failed; a worker's log takes it


class ClientError(Protocol):
    """What a client says that a connection of its own failed: confluent-kafka's KafkaError."""

    def name(self) -> str:
        """Return the error's name, as _TRANSPORT."""

    def str(self) -> str:
        """Return what happened, in words."""


def note_client_error(error: ClientError) -> None:
    """Log what a Kafka client says about its connections; workers limit how often one kind is written."""
    log.warning(f"{CLIENT_ERROR} {error.name()}: %s", error.str())


class KafkaConnection(msgspec.Struct, frozen=True, kw_only=True):
    """A Kafka cluster and the credentials for it.

    >>> KafkaConnection(bootstrap_servers="127.0.0.1:9092").librdkafka()["bootstrap.servers"]
    '127.0.0.1:9092'
    """

    bootstrap_servers: str
    security_protocol: SecurityProtocol = "plaintext"
    sasl_mechanism: str = ""
    sasl_username: str = ""
    sasl_password: str = ""
    ssl_ca_location: str = ""

    def librdkafka(self) -> dict[str, object]:
        """Return confluent-kafka's connection settings; what clients print by themselves is left out."""
        named = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
            "sasl.mechanism": self.sasl_mechanism,
            "sasl.username": self.sasl_username,
            "sasl.password": self.sasl_password,
            "ssl.ca.location": self.ssl_ca_location,
        }
        given = {key: value for key, value in named.items() if value}
        return {**RECONNECT, "log_level": CRITICAL, "error_cb": note_client_error, **given}

    def __repr__(self) -> str:
        user = f", sasl_username={self.sasl_username!r}, sasl_password='***'" if self.sasl_username else ""
        return f"KafkaConnection({self.bootstrap_servers!r}, {self.security_protocol!r}{user})"


class RedisConnection(msgspec.Struct, frozen=True, kw_only=True):
    """One Redis server (or the proxy of a cluster) and one of its databases.

    >>> RedisConnection.from_url("redis://127.0.0.1:6390/3")
    RedisConnection('127.0.0.1:6390/3')
    """

    host: str
    port: int
    db: int = 0
    username: str = ""
    password: str = ""
    tls: bool = False
    tls_ca_location: str = ""

    @classmethod
    def from_url(cls, url: str, tls_ca_location: str = "") -> "RedisConnection":
        """Read `redis[s]://[user:password@]host:port[/db]`.

        Raises:
            ConfigError: E_CONFIG_REDIS_URL, the text is not such an address.
        """
        parts = urlsplit(url)
        path = parts.path.strip("/")
        if parts.scheme not in ("redis", "rediss") or not parts.hostname or not (path or "0").isdigit():
            raise ConfigError(
                "E_CONFIG_REDIS_URL", "not an address of Redis", url.rpartition("@")[2],
                "write redis://host:port/db, or rediss:// for TLS",
            )  # fmt: skip
        return cls(
            host=parts.hostname, port=parts.port or 6379, db=int(path or 0),
            username=unquote(parts.username or ""), password=unquote(parts.password or ""),
            tls=parts.scheme == "rediss", tls_ca_location=tls_ca_location,
        )  # fmt: skip

    def __repr__(self) -> str:
        user = f"{self.username}:***@" if self.password else ""
        return f"RedisConnection('{user}{self.host}:{self.port}/{self.db}')"
