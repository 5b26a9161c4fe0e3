"""W1 as a plain Faust app: JSON records, one table, one output an event; with W1_FEAST also a push an event.

Run as `python -m load.peers.w1_faust worker`; where the servers are comes from W1_* variables.
"""

import os
from collections.abc import AsyncIterable
from pathlib import Path
from typing import Any

import faust

from contracts.connections import RedisConnection
from load.peers.plain_app import Payment, push
from load.peers.plain_store import ENTITIES, apply, open_store
from load.peers.w1_tiles import NAMES, answer, fresh, update


def build(prefix: str, folder: Path, bootstrap_servers: str, store: Any) -> faust.App:
    """Return the app; `store` is a Feast store to push to, or None."""
    app = faust.App(
        f"{prefix}faust",
        broker=f"kafka://{bootstrap_servers}",
        store="memory://",
        datadir=str(folder / "faust"),
        topic_partitions=1,
        topic_replication_factor=1,
        web_enabled=False,
    )
    payments = app.topic(f"{prefix}in", value_type=Payment)
    answers = app.topic(f"{prefix}out", partitions=1)
    windows = app.Table(f"{prefix}windows", default=fresh, partitions=1)

    @app.agent(payments)
    async def w1(stream: AsyncIterable[Payment]) -> None:
        async for payment in stream:
            state = windows[payment.customer_id]
            values = update(state, payment.event_time, payment.amount_minor)
            windows[payment.customer_id] = state
            if store is not None:
                features = dict(zip(NAMES, map(float, values), strict=True))
                push(store, "customer", payment.customer_id, payment.event_time, features)
            await answers.send(key=payment.customer_id, value=answer(payment.asdict(), values))

    return app


def main() -> None:
    """Run the worker."""
    folder, store = Path(os.environ["W1_FOLDER"]), None
    if "W1_FEAST" in os.environ:
        store = open_store(folder, RedisConnection.from_url(os.environ["W1_FEAST"]), project="w1")
        apply(store, folder, {"customer": ENTITIES["customer"]}, NAMES)
    build(os.environ["W1_PREFIX"], folder, os.environ["W1_BOOTSTRAP"], store).main()


if __name__ == "__main__":
    main()
