"""What operators and machines do to topics, groups, disks and Redis's rows: borne, or stopped and cured.

Where a worker may stop it must say a code, and the command that goes on is run as an operator would run it.
What a command cannot cure is a finding (`not_cured`), which makes a run unclean whatever the oracle counts.
"""

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import redis
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from features.project.running import project_of_process
from headrace.stack import Kind
from load.chaos.malformed import COUNTED_WAIT_S, NONSENSE, write
from load.chaos.records import read_all
from load.chaos.settle import client
from load.chaos.site import READY_WAIT_S, Fault, Random, Site
from load.chaos.stack import kinds
from load.chaos.surroundings import HOLDS_S, fill, may_stop
from runtime import launch
from runtime.input_record import InputRecord

COMMAND_WAIT_S = 90.0
ADMIN_S = 20.0
RECORDS = 20
ROWS_GARBLED, CELLS_GARBLED = 40, 3
GARBAGE = b"\xff\x00 no value"
OWN_KEYS = b"headrace:"
FEATURE_BYTES = 4  # of the name of a cell that holds a feature
TRIES_MAX = 3  # of deleting a group that its last member is leaving


def commanded(site: Site, *words: str) -> tuple[int, str]:
    """Run a command of ours as an operator does; return its exit code and what it said."""
    process = subprocess.Popen(
        launch.command("headrace", *words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if not site.stack.until(lambda: process.poll() is not None, COMMAND_WAIT_S):
        process.kill()
    said, _ = process.communicate()
    return process.returncode, said


def cure(site: Site, *words: str) -> bool:
    """Run the command that goes on; one that does not is a finding."""
    code, said = commanded(site, *words)
    if code:
        site.find("not_cured", f"`headrace {' '.join(words)}` ended with {code}: {said[-300:]}")
    return not code


def models_full(site: Site, rng: Random) -> bool:
    """Fill the disk of registry and policy: a policy is refused, with a code, and decisions go on."""
    models, policy = site.stack.run.models, project_of_process().policy_file
    if not models.is_mount() or policy is None:
        return False
    ballast, words = models / ".ballast", ("policy", "activate", str(policy), "--why", "a chaos run")
    try:
        fill(ballast)
        full, before = not os.statvfs(models).f_bavail, site.through()
        code, said = commanded(site, *words)
        if not code or "Error E_" not in said:
            site.find("swallowed", f"a policy put in force on a full disk: {code} {said[-300:]}")
        site.stack.let_pass(float(rng.uniform(*HOLDS_S)))
    finally:
        ballast.unlink(missing_ok=True)
    if site.through() <= before:
        site.find("stopped", "no event was scored while the disk of the models was full")
    return full and cure(site, *words)


def redis_evicts(site: Site, rng: Random) -> bool:
    """Let Redis throw rows away: workers refuse it with a code, and a command brings the rows back."""
    with may_stop(site, kinds()), client(site.stack.redis) as store:
        before = _evicted(store)
        store.config_set("maxmemory-policy", "allkeys-random")
        memory: Any = store.info("memory")
        store.config_set("maxmemory", str(int(int(memory["used_memory"]) * 0.95)))
        try:
            struck = site.stack.until(lambda: _evicted(store) > before, COUNTED_WAIT_S)
            store.config_set("maxmemory", "0")
            site.stack.let_pass(float(rng.uniform(*HOLDS_S)))
        finally:
            store.config_set("maxmemory", "0")
            store.config_set("maxmemory-policy", "noeviction")
    return struck and cure(site, "rebuild-store", "--no-batch")


def _evicted(store: "redis.Redis") -> int:
    stats: Any = store.info("stats")
    return int(stats["evicted_keys"])


def redis_malformed(site: Site, _rng: Random) -> bool:
    """Put nonsense in place of features of some rows: nobody stops, and a command brings the rows back."""
    garbled, before = 0, site.through()
    with client(site.stack.redis) as store:
        rows = [key for key in store.scan_iter(count=500) if not key.startswith(OWN_KEYS)]
        for key in rows[:ROWS_GARBLED]:
            cells = [name for name in store.hkeys(key) if len(name) == FEATURE_BYTES]
            garbled += len(cells[:CELLS_GARBLED])
            store.hset(key, mapping=dict.fromkeys(cells[:CELLS_GARBLED], GARBAGE))
    if not site.stack.until(lambda: site.through() > before, READY_WAIT_S):
        site.find("stopped", "no event was scored while rows of the store held nonsense")
    return bool(garbled) and cure(site, "rebuild-store", "--no-batch")


def grow(site: Site, rng: Random) -> bool:
    """Add a partition to a source's topic while it is read: records there are read as well."""
    source = project_of_process().pipeline.scored
    name, admin = site.stack.run.topic_prefix + source.topic, _admin(site)
    count = len(admin.list_topics(name, ADMIN_S).topics[name].partitions)
    if count > site.stack.run.partitions:
        return False
    admin.create_partitions([NewPartitions(name, count + 1)])[name].result(ADMIN_S)
    before = site.letters()
    values = [NONSENSE[int(rng.integers(len(NONSENSE)))] for _ in range(RECORDS)]
    there = site.stack.until(
        lambda: len(admin.list_topics(name, ADMIN_S).topics[name].partitions) > count, ADMIN_S
    )
    write(site, source.topic, values, [b"c1"] * RECORDS, "none", only=count)
    read = site.stack.until(lambda: site.letters() >= before + RECORDS, READY_WAIT_S)
    if not read:
        site.find("stopped", f"records in partition {count} of {source.topic} were not read")
    return there and read and cure(site, "topics", "check")


def deleted_unread(site: Site, rng: Random) -> bool:
    """Delete records of a source that nobody has read: gate and archive stop until somebody accepts it."""
    source, stack, readers = project_of_process().pipeline.scored, site.stack, (("gate",), ("archive",))
    name, partition = stack.run.topic_prefix + source.topic, int(rng.integers(stack.run.partitions))
    with may_stop(site, readers) as before:
        with away(site, readers):
            stack.let_pass(float(rng.uniform(1.0, 2.0)))  # what comes now is read by nobody
            kept = [one for one in read_all(stack.kafka, name) if one.partition == partition]
            if not kept:
                return False
            behind = kept[-1].offset + 1
            place = TopicPartition(name, partition, behind)
            _admin(site).delete_records([place])[place].result(ADMIN_S)
        stopped = stack.until(lambda: _ended_by(site, before, "E_INPUT_HOLE"), READY_WAIT_S)
        accepted = stopped and cure(
            site, "offsets", "accept-loss", "--topic", source.topic, "--reason", "a chaos run deleted them"
        )
    stack.note_deleted(source.topic, kept)
    site.excuse(kept)
    for hole in InputRecord(stack.run.lake).accepted():
        if hole.topic == source.topic and (hole.partition, hole.to) != (partition, behind):
            site.find("not_cured", f"more was accepted than was deleted before {behind}: {hole.words}")
    return accepted


def _ended_by(site: Site, before: int, code: str) -> bool:
    return any(end.last is not None and end.last.code == code for end in site.stack.ends[before:])


def offsets_expired(kind: Kind, group: str, site: Site, _rng: Random) -> bool:
    """Have the brokers forget where a group stood: it goes on without a loss, and nothing comes twice."""
    with away(site, (kind,)):
        admin, name = _admin(site), site.stack.run.topic_prefix + group
        for _ in range(TRIES_MAX):
            try:
                admin.delete_consumer_groups([name])[name].result(ADMIN_S)
                break
            except KafkaException:  # its member is still leaving
                site.stack.let_pass(2.0)
        else:
            return False
        site.stack.expired.add(group)
        site.strike()
    return True


@contextmanager
def away(site: Site, some: Sequence[Kind]) -> Iterator[None]:
    """Let there be no worker of some kinds inside the block."""
    supervisor = site.stack.supervisor
    site.strike()
    for kind in some:
        for worker in supervisor.of_kind(kind):
            supervisor.remove(worker)
    try:
        yield
    finally:
        for kind in some:
            supervisor.add(kind)
        site.rebalances += 2 * len(some)


def _admin(site: Site) -> AdminClient:
    return AdminClient({**site.stack.kafka.librdkafka(), "log_level": 2})  # type: ignore[dict-item]


def catalogue() -> dict[str, Fault]:
    """Return the group's faults by name."""
    links = project_of_process().pipeline.chain.links
    groups: list[tuple[Kind, str]] = [(("gate",), "gate"), (("archive",), "archive")]
    groups += [(("stream", link.name), f"stage-{link.name}") for link in links]
    found: dict[str, Callable[[Site, Random], bool]] = {
        "damage:models-full": models_full, "damage:redis-evicts": redis_evicts,
        "damage:redis-malformed": redis_malformed, "damage:topic-grown": grow,
        "damage:deleted-unread": deleted_unread,
    }  # fmt: skip
    return found | {
        f"damage:offsets-{group}": partial(offsets_expired, kind, group) for kind, group in groups
    }
