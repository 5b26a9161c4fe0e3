"""Print decisions as they are committed: python subscriber.py BOOTSTRAP_SERVERS [TOPIC]"""

import json
import sys

from confluent_kafka import Consumer

servers, topic = (*sys.argv[1:], "predictions")[:2]
settings = {
    "bootstrap.servers": servers,
    "group.id": "my-service",
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",  # others would show decisions of aborted transactions too
}
consumer = Consumer(settings)
consumer.subscribe([topic])
while True:
    message = consumer.poll(1.0)
    if message is not None and message.error() is None:
        decision = json.loads(message.value())
        sys.stdout.write(f"{decision['event_id']} {decision['decision']} {decision.get('score')}\n")
        sys.stdout.flush()
