"""Makes the process of a stage as far as it goes without Kafka, and lets something of it raise, a fork each.

Prints how each fork ended: its exit code and the reason that it noted.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any, NoReturn

from prometheus_client import CollectorRegistry

from contracts.connections import KafkaConnection, RedisConnection
from load.this_project import PROJECT
from runtime import ending
from streams.stage import faust_app
from streams.stage.definition import StageDefinition, stage_of
from streams.stage.faust_app import StageProcess
from streams.stage.metrics import StageMetrics
from streams.stage.settings import StageSettings

NOBODY = "127.0.0.1:1"


def raising(*_: object, **__: object) -> NoReturn:
    """Raise, as no code of ours does on purpose."""
    raise MemoryError("no more")


async def raising_later(*_: object, **__: object) -> None:
    """Raise in a coroutine."""
    raising()


async def in_callback(_process: StageProcess, worker: Any) -> None:
    """Raise in a callback of the loop."""
    worker.loop.call_soon(raising)


async def in_agent(process: StageProcess, _worker: Any) -> None:
    """Raise in the agent, which Faust would start again."""
    (agent,) = process.app.agents.values()
    await agent._execute_actor(raising_later(), None)


async def in_record(process: StageProcess, _worker: Any) -> None:
    """Raise while a record is received."""
    process.worker._take_over = raising  # type: ignore[method-assign]
    await process.worker.receive(0, 1, 0, b"", raising)


async def in_timer(process: StageProcess, _worker: Any) -> None:
    """Raise in the timer."""
    process.worker.tick = raising  # type: ignore[method-assign]
    process.app.add_future(process.worker.run_timer(lambda: False))


async def in_task(process: StageProcess, _worker: Any) -> None:
    """Raise in a task of Faust itself, which would stop its services one after the other."""
    process.app.add_future(raising_later())


async def in_service(process: StageProcess, _worker: Any) -> None:
    """Have a service inside Faust's app crash, as its fetcher or consumer may."""
    process.app.consumer.add_future(raising_later())


async def in_assignment(process: StageProcess, _worker: Any) -> None:
    """Raise where the group's signal is heard."""
    process.worker._take_over = raising  # type: ignore[method-assign]
    await process.app.on_partitions_assigned.send({faust_app.TP("t", 0)})


async def in_revocation(process: StageProcess, _worker: Any) -> None:
    """Raise where the group takes partitions away."""
    process.worker._drop = raising  # type: ignore[method-assign]
    await process.app.on_partitions_revoked.send({faust_app.TP("t", 0)})


async def in_take_over(process: StageProcess, _worker: Any) -> None:
    """Raise in the pool, for a partition that gets no record for now."""
    process.worker._restore = raising  # type: ignore[method-assign]
    process.worker.assigned([0], 1)


async def in_finish(process: StageProcess, worker: Any) -> None:
    """Raise in the last checkpoint, when SIGTERM has come."""
    process.worker.finish = raising_later  # type: ignore[method-assign, assignment]
    process.app.consumer.assignment = set  # type: ignore[method-assign]
    worker._on_sigterm()


async def in_outputs_thread(process: StageProcess, _worker: Any) -> None:
    """Raise in the callback of a delivery, which the producer's thread calls."""
    outputs = process.worker.servers.outputs
    outputs.produce("events.terminal", b"", raising, partition=0)
    outputs._producer.purge()


async def in_store_thread(process: StageProcess, _worker: Any) -> None:
    """Raise in the thread of the online store's writer."""
    store: Any = process.worker.servers.store
    store._round = raising
    store.start()


async def in_client(process: StageProcess, worker: Any) -> None:
    """Have the task of Kafka's client fail that fetches: nothing else would notice, and no record comes."""
    running = worker.loop.create_task(asyncio.sleep(60.0))
    client = SimpleNamespace(
        _fetcher=SimpleNamespace(error_future=worker.loop.create_task(raising_later())),
        _coordinator=SimpleNamespace(_coordination_task=running),
        _client=SimpleNamespace(_sync_task=running),
    )
    process.app.consumer._thread._consumer = client
    process.app.add_future(process.watch_client())


async def in_client_loop(process: StageProcess, worker: Any) -> None:
    """Raise in a callback of the loop that Kafka's client has for itself."""
    thread = process.app.consumer._thread
    process.app.add_future(process.watch_client())
    await asyncio.sleep(0)
    Thread(target=thread.thread_loop.run_forever).start()
    thread.thread_loop.call_soon_threadsafe(raising)


async def in_start(process: StageProcess, _worker: Any) -> None:
    """Raise nothing: Kafka is not there when Faust starts."""
    process.run()


CASES = {
    name: case for name, case in list(vars().items()) if name.startswith("in_") and name != "in_start"
}  # fmt: skip


def lived_through(name: str, folder: Path) -> NoReturn:
    """Let one case happen; 99 when the process is still there afterwards."""
    settings = StageSettings(
        kafka=KafkaConnection(bootstrap_servers=NOBODY), redis=RedisConnection(host="127.0.0.1", port=1),
        data_folder=folder,
    )  # fmt: skip
    definition = StageDefinition(stage_of(PROJECT, "customer"), "", 4)
    with ending.incarnation():
        process = StageProcess(definition, settings, StageMetrics(CollectorRegistry(), "customer"))
        if name == "in_start":
            process.run()
        worker = faust_app._Worker(process)

        async def happen() -> None:
            await CASES[name](process, worker)
            await asyncio.sleep(10.0)

        worker.loop.run_until_complete(happen())
    os._exit(99)


def main(folder: Path) -> None:
    """Print what became of each case."""
    found = {}
    for name in [*CASES, "in_start"]:
        note = folder / name
        os.environ[ending.END_NOTE] = str(note)
        pid = os.fork()
        if pid == 0:
            lived_through(name, folder)
        _, status = os.waitpid(pid, 0)
        said = ending.read_end(note)
        found[name] = [os.waitstatus_to_exitcode(status), said.what if said else ""]
    print("found:" + json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
