"""W1 on Quix Streams: stateful apply, RocksDB with its changelog, one JSON record an event.

Run as `python -m load.peers.w1_quix` in the peers' environment; where Kafka is comes from W1_* variables.
"""

import os
from typing import Any

from quixstreams import Application, State

from load.peers.w1_tiles import answer, fresh, update


def w1(payment: dict[str, Any], state: State) -> dict[str, Any]:
    """Fold a payment in and return its output record."""
    windows = state.get("windows") or fresh()
    values = update(windows, payment["event_time"], payment["amount_minor"])
    state.set("windows", windows)
    return answer(payment, values)


def main() -> None:
    """Run until told to stop."""
    prefix = os.environ["W1_PREFIX"]
    app = Application(
        broker_address=os.environ["W1_BOOTSTRAP"],
        consumer_group=f"{prefix}quix",
        auto_offset_reset="earliest",
        state_dir=os.path.join(os.environ["W1_FOLDER"], "quix"),
    )
    payments = app.topic(f"{prefix}in", value_deserializer="json", key_deserializer="str")
    answers = app.topic(f"{prefix}out", value_serializer="json", key_serializer="str")
    app.dataframe(payments).apply(w1, stateful=True).to_topic(answers)
    app.run()


if __name__ == "__main__":
    main()
