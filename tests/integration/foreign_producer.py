"""Records that no Python client can make: a header whose name is not UTF-8, sent by librdkafka's C call."""

import ctypes
from pathlib import Path

import confluent_kafka

_END, _TOPIC, _PARTITION, _VALUE, _KEY, _FLAGS, _HEADER = 0, 1, 3, 4, 5, 7, 9
_COPY = 2
_PRODUCER = 0


def send_with_header(
    servers: str, topic: str, partition: int, record: tuple[bytes, bytes], name: bytes
) -> None:
    """Send one (key, value) record that has a header called `name`, and wait until it is in the log."""
    library = next(
        (Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs").glob("librdkafka*.so*")
    )
    rd = ctypes.CDLL(str(library))
    rd.rd_kafka_conf_new.restype = ctypes.c_void_p
    rd.rd_kafka_new.restype = ctypes.c_void_p
    words = ctypes.create_string_buffer(512)
    settings = ctypes.c_void_p(rd.rd_kafka_conf_new())
    rd.rd_kafka_conf_set(settings, b"bootstrap.servers", servers.encode(), words, 512)
    client = ctypes.c_void_p(rd.rd_kafka_new(_PRODUCER, settings, words, 512))
    size = ctypes.c_size_t
    key, value = record
    failed = rd.rd_kafka_producev(
        client, _TOPIC, topic.encode(), _PARTITION, ctypes.c_int32(partition),
        _VALUE, value, size(len(value)), _KEY, key, size(len(key)),
        _HEADER, name, b"v", ctypes.c_ssize_t(1), _FLAGS, _COPY, _END,
    )  # fmt: skip
    unsent = rd.rd_kafka_flush(client, 10_000)
    rd.rd_kafka_destroy(client)
    assert not failed
    assert not unsent
