"""The plain Faust app: JSON records, a table an entity, and one push to Feast an event.

Run as `python -m load.peers.plain_app worker`; where the servers are comes from PLAIN_* variables.
"""

import os
from collections.abc import AsyncIterable
from pathlib import Path

import faust
from feast import FeatureStore
from feast.data_source import PushMode

from contracts.connections import RedisConnection
from load.peers.plain_store import frame, open_store
from load.peers.plain_windows import update


class Payment(faust.Record, serializer="json"):
    """A payment."""

    transaction_id: str
    event_time: int
    customer_id: str
    terminal_id: str
    amount_minor: int
    currency: str


def build(prefix: str, folder: Path, bootstrap_servers: str, store: FeatureStore) -> faust.App:
    """Return the app: customer windows, then terminal windows, then `ready` for the consumer that scores."""
    app = faust.App(
        f"{prefix}plain",
        broker=f"kafka://{bootstrap_servers}",
        store="memory://",
        datadir=str(folder / "faust"),
        topic_partitions=4,
        topic_replication_factor=1,
        web_enabled=False,
    )
    transactions = app.topic(f"{prefix}transactions", value_type=Payment)
    by_terminal = app.topic(f"{prefix}by_terminal", value_type=Payment, partitions=4)
    ready = app.topic(f"{prefix}ready", value_type=Payment, partitions=4)
    customers = app.Table(f"{prefix}customers", default=dict, partitions=4)
    terminals = app.Table(f"{prefix}terminals", default=dict, partitions=4)

    @app.agent(transactions)
    async def customer_windows(stream: AsyncIterable[Payment]) -> None:
        async for payment in stream:
            state = customers[payment.customer_id]
            features = update(state, payment.event_time, payment.amount_minor, payment.terminal_id)
            customers[payment.customer_id] = state
            push(store, "customer", payment.customer_id, payment.event_time, features)
            await by_terminal.send(key=payment.terminal_id, value=payment)

    @app.agent(by_terminal)
    async def terminal_windows(stream: AsyncIterable[Payment]) -> None:
        async for payment in stream:
            state = terminals[payment.terminal_id]
            features = update(state, payment.event_time, payment.amount_minor, payment.customer_id)
            terminals[payment.terminal_id] = state
            push(store, "terminal", payment.terminal_id, payment.event_time, features)
            await ready.send(key=payment.customer_id, value=payment)

    return app


def push(store: FeatureStore, entity: str, key: str, event_ms: int, features: dict[str, float]) -> None:
    """Put one row online through the stock SDK."""
    store.push(f"{entity}_push", frame([(key, event_ms, features)], f"{entity}_id"), to=PushMode.ONLINE)


def main() -> None:
    """Run the worker."""
    folder = Path(os.environ["PLAIN_FOLDER"])
    store = open_store(folder, RedisConnection.from_url(os.environ["PLAIN_REDIS"]))
    build(os.environ["PLAIN_PREFIX"], folder, os.environ["PLAIN_BOOTSTRAP"], store).main()


if __name__ == "__main__":
    main()
