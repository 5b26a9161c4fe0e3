"""The plain Faust app: JSON records, a table an entity, and one push to Feast an event.

Run as `python -m load.peers.plain_app worker`; where the servers are comes from PLAIN_* variables.
"""

import os
from collections.abc import AsyncIterable
from pathlib import Path

import faust
from feast.data_source import PushMode

from contracts.connections import RedisConnection
from load.peers.plain_store import frame, open_store
from load.peers.plain_windows import update

PREFIX = os.environ["PLAIN_PREFIX"]
FOLDER = Path(os.environ["PLAIN_FOLDER"])

app = faust.App(
    f"{PREFIX}plain",
    broker=f"kafka://{os.environ['PLAIN_BOOTSTRAP']}",
    store="memory://",
    datadir=str(FOLDER / "faust"),
    topic_partitions=4,
    topic_replication_factor=1,
    web_enabled=False,
)
store = open_store(FOLDER, RedisConnection.from_url(os.environ["PLAIN_REDIS"]))


class Payment(faust.Record, serializer="json"):
    """A payment."""

    transaction_id: str
    event_time: int
    customer_id: str
    terminal_id: str
    amount_minor: int
    currency: str


transactions = app.topic(f"{PREFIX}transactions", value_type=Payment)
by_terminal = app.topic(f"{PREFIX}by_terminal", value_type=Payment, partitions=4)
ready = app.topic(f"{PREFIX}ready", value_type=Payment, partitions=4)
customers = app.Table(f"{PREFIX}customers", default=dict, partitions=4)
terminals = app.Table(f"{PREFIX}terminals", default=dict, partitions=4)


@app.agent(transactions)
async def customer_windows(stream: AsyncIterable[Payment]) -> None:
    """Fold each payment into its customer's windows and hand it on by terminal."""
    async for payment in stream:
        state = customers[payment.customer_id]
        features = update(state, payment.event_time, payment.amount_minor, payment.terminal_id)
        customers[payment.customer_id] = state
        _push("customer", payment.customer_id, payment.event_time, features)
        await by_terminal.send(key=payment.terminal_id, value=payment)


@app.agent(by_terminal)
async def terminal_windows(stream: AsyncIterable[Payment]) -> None:
    """Fold each payment into its terminal's windows and hand it on to be scored."""
    async for payment in stream:
        state = terminals[payment.terminal_id]
        features = update(state, payment.event_time, payment.amount_minor, payment.customer_id)
        terminals[payment.terminal_id] = state
        _push("terminal", payment.terminal_id, payment.event_time, features)
        await ready.send(key=payment.customer_id, value=payment)


def _push(entity: str, key: str, event_ms: int, features: dict[str, float]) -> None:
    store.push(f"{entity}_push", frame([(key, event_ms, features)], f"{entity}_id"), to=PushMode.ONLINE)


if __name__ == "__main__":
    app.main()
