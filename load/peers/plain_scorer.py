"""The plain consumer: for each payment one online read, one predict, one record out.

Run as `python -m load.peers.plain_scorer`; where the servers are comes from PLAIN_* variables.
"""

import os
import signal
from pathlib import Path

import lightgbm
import numpy as np
import orjson
from confluent_kafka import Consumer, Producer

from contracts.connections import RedisConnection
from load.peers.plain_store import ENTITIES, open_store, references
from load.peers.plain_windows import FEATURES


def main() -> None:
    """Score until told to stop."""
    prefix, folder = os.environ["PLAIN_PREFIX"], Path(os.environ["PLAIN_FOLDER"])
    store = open_store(folder, RedisConnection.from_url(os.environ["PLAIN_REDIS"]))
    booster = lightgbm.Booster(model_file=str(folder / "model.txt"))
    names = references()
    servers = {"bootstrap.servers": os.environ["PLAIN_BOOTSTRAP"]}
    producer = Producer(servers)
    consumer = Consumer({**servers, "group.id": f"{prefix}scorer", "auto.offset.reset": "earliest"})
    consumer.subscribe([f"{prefix}ready"])
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopping.append(number))
    while not stopping:
        message = consumer.poll(0.2)
        if message is None or message.error() is not None:
            continue
        payment = orjson.loads(message.value() or b"{}")
        row = {key: payment[key] for key in ENTITIES.values()}
        read = store.get_online_features(names, entity_rows=[row], full_feature_names=True).to_dict()
        vector = [read[f"{name}_view__{feature}"][0] or 0.0 for name in ENTITIES for feature in FEATURES]
        score = float(np.asarray(booster.predict([vector], num_threads=1))[0])
        decision = "decline" if score > 0.9 else "review" if score > 0.5 else "approve"
        out = {"transaction_id": payment["transaction_id"], "score": score, "decision": decision}
        producer.produce(f"{prefix}predictions", orjson.dumps(out), message.key())
        producer.poll(0)
    producer.flush(10)
    consumer.close()


if __name__ == "__main__":
    main()
