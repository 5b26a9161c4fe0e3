"""What is around the service goes wrong for a while: disks full, stores that refuse, files that say nonsense.

Each fault holds for some seconds, in which payments must go on being predicted (where they can be), and is
then taken away. Who waited goes on by itself: nothing is restarted by hand.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import redis

from headrace.stack import Kind
from inference.models.manifest import RELEASE_FILE
from inference.policy.store import POLICY_FILE
from load.chaos.settle import client
from load.chaos.site import READY_WAIT_S, Fault, Random, Site
from load.chaos.stack import LAKE_BYTES, kinds

HOLDS_S = (3.0, 8.0)
COPY_AGE_S = 3.0
PROOF_WAIT_S = 30.0
NONSENSE = (
    b"{{ a template that nobody filled in }}", b"--- !!python/object:os.system x", b"day: 2023-02-30\n",
    b"\xff\xfe\x00", b"n: " + b"9" * 5000, b"", b"[" * 2000,
)  # fmt: skip
CHUNK = b"\0" * (1 << 16)
ARCHIVE = ("archive",)


def redis_refuses(setting: Callable[["redis.Redis"], object], site: Site, rng: Random) -> bool:
    """Have Redis refuse every write for a while; reads go on."""
    with may_stop(site, kinds()), client(site.stack.redis) as store:
        setting(store)
        refused = _refuses(store)
        try:
            site.stack.let_pass(float(rng.uniform(*HOLDS_S)))
        finally:
            _accept(store)
    return refused


@contextmanager
def may_stop(site: Site, kinds: Sequence[Kind]) -> Iterator[int]:
    """Let workers of some kinds stop inside the block, each with a code that says what to do.

    What is to be done is done at its end: the cause is gone, and they are started, as `headrace up` does. The
    block is told how many ends there were before.
    """
    before, stack = len(site.stack.ends), site.stack
    stack.may_wait.update(kinds)
    try:
        yield before
    finally:
        stack.supervisor.start_now()
        stack.until(lambda: all(map(stack.process_of, stack.supervisor.workers)), READY_WAIT_S)
        stack.may_wait.difference_update(kinds)
    for end in stack.ends[before:]:
        if not end.is_killed and (end.last is None or not end.last.code):
            site.find("swallowed", f"an end without a code: {end.told}")


def _read_only(store: "redis.Redis") -> object:
    return store.replicaof("127.0.0.1", "1")  # nobody is there: a replica that waits


def _full(store: "redis.Redis") -> object:
    return store.config_set("maxmemory", "1")


def _accept(store: "redis.Redis") -> None:
    store.replicaof("NO", "ONE")
    store.config_set("maxmemory", "0")


def _refuses(store: "redis.Redis") -> bool:
    try:
        store.set("headrace:chaos", "x")
    except (redis.ReadOnlyError, redis.OutOfMemoryError):
        return True
    store.delete("headrace:chaos")
    return False


def redis_older(site: Site, _rng: Random) -> bool:
    """Fail over to an older copy of Redis: it is killed, and comes back with what it had seconds before."""
    server = site.stack.servers.redis
    with client(site.stack.redis) as store:
        store.save()
        folder = Path(str(store.config_get("dir")["dir"]))
        name = str(store.config_get("dbfilename")["dbfilename"])
    site.stack.let_pass(COPY_AGE_S)
    site.strike()
    site.stack.crash_server(server, 0.1)
    (folder / name).unlink(missing_ok=True)
    with client(site.stack.redis) as store:
        return bool(store.dbsize())


def lake_full(site: Site, rng: Random) -> bool:
    """Fill the lake's disk: the archive waits, told why, and payments go on being scored."""
    lake = site.stack.run.lake
    if not lake.is_mount():
        return False
    ballast = lake / ".ballast"
    with may_stop(site, [ARCHIVE]) as before:
        try:
            fill(ballast)
            full = not os.statvfs(lake).f_bavail
            predicted = site.through()
            waits = site.stack.until(lambda: _ended(site, before, "archive"), PROOF_WAIT_S)
            site.stack.let_pass(float(rng.uniform(*HOLDS_S)))
        finally:
            ballast.unlink(missing_ok=True)
        if site.through() <= predicted:
            site.find("stopped", "no payment was scored while the lake's disk was full")
    return full and waits


def fill(path: Path) -> None:
    """Write a file until its disk is full."""
    left = LAKE_BYTES
    with path.open("wb", buffering=0) as file:
        while left > 0:
            try:
                left -= file.write(CHUNK)
            except OSError:  # full, which is what is wanted
                return


def _ended(site: Site, before: int, worker: str) -> bool:
    return any(end.worker == worker for end in site.stack.ends[before:])


def nonsense_in(name: str, site: Site, rng: Random) -> bool:
    """Put nonsense in the place of a file that scorers and the HTTP API watch, then what was there again."""
    path = site.stack.run.models / name
    with replaced(path, NONSENSE[int(rng.integers(len(NONSENSE)))]):
        before = site.through()
        site.stack.let_pass(float(rng.uniform(*HOLDS_S)))
        if site.through() <= before:
            site.find("stopped", f"no payment was scored while {name} held nonsense")
    return True


@contextmanager
def replaced(path: Path, content: bytes) -> Iterator[None]:
    """Let a file hold something else inside the block, moved into place as editors do.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "file"
    >>> with replaced(path, b"nonsense"):
    ...     path.read_bytes()
    b'nonsense'
    >>> path.exists()
    False
    """
    before = path.read_bytes() if path.exists() else None
    _move_in(path, content)
    try:
        yield
    finally:
        if before is None:
            path.unlink(missing_ok=True)
        else:
            _move_in(path, before)


def _move_in(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.{time.monotonic_ns()}")
    fresh.write_bytes(content)
    fresh.replace(path)


def catalogue() -> dict[str, Fault]:
    """Return the group's faults by name."""
    return {
        "environment:redis-read-only": partial(redis_refuses, _read_only),
        "environment:redis-full": partial(redis_refuses, _full),
        "environment:redis-older": redis_older,
        "environment:lake-full": lake_full,
        "environment:policy-nonsense": partial(nonsense_in, POLICY_FILE),
        "environment:registry-nonsense": partial(nonsense_in, RELEASE_FILE),
    }
