"""W1 on Bytewax: a keyed stateful map with recovery snapshots, one JSON record an event.

Run as `python -m bytewax.run load.peers.w1_bytewax` in the peers' environment, with a recovery directory;
where Kafka is comes from W1_* variables.
"""

import os
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow

from load.peers.w1_tiles import answer, fresh, update


def _payment(message: KafkaSourceMessage[Any, Any]) -> tuple[str, dict[str, Any]]:
    payment = orjson.loads(message.value or b"{}")
    return payment["customer_id"], payment


def _w1(
    windows: list[Any] | None, payment: dict[str, Any]
) -> tuple[list[Any] | None, KafkaSinkMessage[bytes, bytes]]:
    windows = windows or fresh()
    values = update(windows, payment["event_time"], payment["amount_minor"])
    key = payment["customer_id"].encode()
    return windows, KafkaSinkMessage(key, orjson.dumps(answer(payment, values)))


def _value(keyed: tuple[str, Any]) -> Any:
    return keyed[1]


prefix, brokers = os.environ["W1_PREFIX"], [os.environ["W1_BOOTSTRAP"]]
flow = Dataflow("w1")
records = op.input("in", flow, KafkaSource(brokers, [f"{prefix}in"], batch_size=1_000))
keyed = op.map("parse", records, _payment)
answers = op.map("value", op.stateful_map("windows", keyed, _w1), _value)
op.output("out", answers, KafkaSink(brokers, f"{prefix}out"))
