"""What must hold of the servers under a worker, as pure functions of what the servers said.

Each returns findings: an error of ours, and whether the worker must refuse to go on. `runtime.kafka_guard`
asks Kafka and Redis and applies them, in every worker alike, at its start and while it runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from contracts import topics
from contracts.chain import Link
from contracts.errors import ClusterError, HeadraceError, StateError
from contracts.pipeline import Pipeline
from contracts.topics import Topic
from runtime.input_record import TopicFact
from runtime.settings import Answer, GuardSettings

REPLICATION_MAX = 3


def uses(pipeline: Pipeline, worker: str) -> tuple[Topic, ...]:
    """Return the topics that a kind of worker reads or writes."""
    stages = {link.worker: link for link in pipeline.chain.links}
    if worker in stages:
        return _stage_topics(pipeline, stages[worker])
    others: dict[str, tuple[Topic, ...]] = {
        "gate": (*pipeline.source_topics, pipeline.stage_inputs[pipeline.chain.first.name]),
        "score": (topics.FEATURES_LOG, topics.PREDICTIONS, topics.DRIFT, topics.REVIEWS),
        "archive": (
            *pipeline.source_topics, topics.FEATURES_LOG, topics.PREDICTIONS, topics.DRIFT, topics.REVIEWS,
            topics.VERDICTS, topics.QUALITY,
        ),
        "learn": (
            topics.PREDICTIONS, topics.FEATURES_LOG, topics.DRIFT, topics.QUALITY, topics.CHANGELOG_LEARNER,
        ),
        "serve": (),
        "doctor": pipeline.topics,
    }  # fmt: skip
    return others[worker]


def _stage_topics(pipeline: Pipeline, link: Link) -> tuple[Topic, ...]:
    """Return the topics of a stage; the first one has letters for ids that come again with other content."""
    following = pipeline.chain.after(link)
    first = link is pipeline.chain.first
    return (
        pipeline.stage_inputs[link.name],
        pipeline.stage_inputs[following.name] if following else topics.FEATURES_LOG,
        pipeline.changelogs[link.name],
        *(source.dead_letters for source in pipeline.sources if first),
    )


class TopicState(NamedTuple):
    """A topic as the cluster has it; `id` is empty where the brokers are too old to say it."""

    id: str
    partitions: int
    replication: int


class Finding(NamedTuple):
    """Something that is not as it must be; a worker ends with the errors that it must refuse."""

    error: HeadraceError
    refuse: bool


def topics_as_kept(
    wanted: Sequence[Topic], found: Mapping[str, TopicState], kept: Mapping[str, TopicFact], lake: str
) -> Iterator[Finding]:
    """Yield what is wrong with topics themselves: missing, made again, too few partitions, or more.

    Partitions beyond the run's count are no fault: our writers place every record by the run's own count, so
    only topics that others write have records there, and those are read.

    Args:
        wanted: with the run's number of partitions; `found` and `kept` are by name without prefix.
        lake: where a new run may begin from.
    """
    for topic in wanted:
        state, fact = found.get(topic.name), kept.get(topic.name)
        if state is None:
            error: HeadraceError = ClusterError(
                "E_TOPIC_MISSING", "no such topic", topic.name,
                "make it as it was; `headrace up` and `headrace topics create` make what is missing",
            )  # fmt: skip
            yield Finding(error, refuse=True)
        elif fact is not None and state.id and fact.id != state.id:
            yield Finding(_made_again(topic, fact, state, lake), refuse=True)
        elif state.partitions < topic.partitions:
            what = f"{state.partitions} partitions, the run has {topic.partitions}"
            error = ClusterError("E_TOPIC_PARTITIONS", what, topic.name, "run `headrace topics grow`")
            yield Finding(error, refuse=True)
        elif state.partitions > topic.partitions:
            what = f"{state.partitions} partitions, the run has {topic.partitions}: those beyond are read too"
            yield Finding(ClusterError("E_TOPIC_GREW", what, topic.name), refuse=False)


def _made_again(topic: Topic, fact: TopicFact, state: TopicState, lake: str) -> StateError:
    accept = f"headrace offsets accept-loss --topic {topic.name} --reason WHY"
    step = f"accept it as another generation: `{accept}`"
    if not topic.made_again:
        step = f"bring the old topic back, or begin a new run by `headrace backfill --seed-from {lake}`"
    return StateError(
        "E_TOPIC_RECREATED", f"the topic was made again: its id is {state.id}, the run read {fact.id}",
        topic.name, step,
    )  # fmt: skip


def wanted_replication(settings: GuardSettings, brokers: int) -> tuple[int, int]:
    """Return how many copies a topic should have, and how many of them must take a write.

    >>> wanted_replication(GuardSettings(), 1), wanted_replication(GuardSettings(), 5)
    ((1, 1), (3, 2))
    """
    copies = settings.replication or max(1, min(REPLICATION_MAX, brokers))
    return copies, settings.min_insync or max(1, copies - 1)


def replication(
    found: Mapping[str, TopicState], insync: Mapping[str, int], wanted: tuple[int, int], answer: Answer
) -> Iterator[Finding]:
    """Yield the topics that a broken disk, or a broker that is away, would take along.

    Args:
        insync: min.insync.replicas by topic.
        wanted: as `wanted_replication` has it.
    """
    for name, state in found.items():
        least = insync.get(name, 1)
        if state.replication >= wanted[0] and wanted[1] <= least <= max(1, state.replication - 1):
            continue
        what = (
            f"{state.replication} copies of which {least} must take a write, wanted are {wanted[0]}"
            f" and {wanted[1]}"
        )
        error = ClusterError(
            "E_TOPIC_REPLICATION", what, name,
            "reassign its partitions and set min.insync.replicas, or set HEADRACE_GUARD_REPLICATION,"
            " HEADRACE_GUARD_MIN_INSYNC or HEADRACE_GUARD_ON_REPLICATION",
        )  # fmt: skip
        yield from _answered(answer, error)


def topic_settings(
    wanted: Sequence[Topic], found: Mapping[str, Mapping[str, str | None]], answer: Answer
) -> Iterator[Finding]:
    """Yield topics whose settings lose records, or make what we say of them untrue.

    Args:
        found: the broker's settings by topic.
        answer: to a retention that is shorter than the table's.
    """
    for topic in wanted:
        have, must = found.get(topic.name), topic.configs()
        if have is None:
            continue
        for key in ("message.timestamp.type", "cleanup.policy"):
            if have.get(key) != must[key]:
                error = ClusterError(
                    "E_TOPIC_SETTINGS", f"{key} is {have.get(key)}, not {must[key]}", topic.name,
                    "run `headrace topics configure`, or set it as the table says",
                )  # fmt: skip
                yield Finding(error, refuse=True)
        kept_ms, wanted_ms = int(have.get("retention.ms") or -1), int(must["retention.ms"])
        if kept_ms >= 0 and (wanted_ms < 0 or kept_ms < wanted_ms):
            error = ClusterError(
                "E_TOPIC_RETENTION", f"records are deleted after {kept_ms} ms, the table says {wanted_ms}",
                topic.name, "run `headrace topics configure`: what is deleted unread is lost",
            )  # fmt: skip
            yield from _answered(answer, error)


def offsets_kept(minutes: int | None, settings: GuardSettings) -> Iterator[Finding]:
    """Yield a broker that forgets too soon where a group stood; None where it does not say."""
    if minutes is None or minutes >= settings.offsets_kept_min_h * 60:
        return
    error = ClusterError(
        "E_OFFSETS_KEPT", f"the brokers forget where a group stood after {minutes / 60:g} h", "",
        f"raise offsets.retention.minutes to {round(settings.offsets_kept_min_h * 60)} or more,"
        " or set HEADRACE_GUARD_OFFSETS_KEPT_MIN_H",
    )  # fmt: skip
    yield from _answered(settings.on_offsets_kept, error)


def clocks(ahead_s: float, settings: GuardSettings) -> Iterator[Finding]:
    """Yield clocks that are too far apart.

    Args:
        ahead_s: how far this machine's clock is ahead of the broker's at least, negative for behind.

    >>> [finding.refuse for finding in clocks(-3.0, GuardSettings())]
    [False]
    >>> [finding.error.code for finding in clocks(3600.0, GuardSettings()) if finding.refuse]
    ['E_CLOCK_APART']
    """
    if abs(ahead_s) < settings.clock_warn_s:
        return
    where = "ahead of" if ahead_s > 0 else "behind"
    error = ClusterError(
        "E_CLOCK_APART", f"this machine's clock is {abs(ahead_s):.1f} s {where} the broker's", "",
        "set both by NTP; HEADRACE_GUARD_CLOCK_APART_MAX_S and HEADRACE_GUARD_ON_CLOCK say what is borne",
    )  # fmt: skip
    far = abs(ahead_s) > settings.clock_apart_max_s
    yield from _answered(settings.on_clock if far else "warn", error)


def store(about: Mapping[str, str], settings: GuardSettings, where: str) -> Iterator[Finding]:
    """Yield a Redis that must not be written to, or that forgets rows by itself.

    Args:
        about: what INFO says.

    >>> [found.error.code for found in store({"role": "slave"}, GuardSettings(), "redis")]
    ['E_STORE_REPLICA']
    """
    if about.get("role", "master") != "master":
        error = ClusterError(
            "E_STORE_REPLICA", f"this Redis is a {about['role']}: it takes no rows", where,
            "point HEADRACE_REDIS_URL at the primary",
        )  # fmt: skip
        yield from _answered(settings.on_replica, error)
    policy = about.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        error = ClusterError(
            "E_STORE_EVICTS", f"Redis may evict rows ({policy})", where,
            "set maxmemory-policy noeviction: an evicted row looks like a key without a past",
        )  # fmt: skip
        yield from _answered(settings.on_eviction, error)


def info_fields(text: bytes | str) -> dict[str, str]:
    """Return what INFO says, by name.

    >>> info_fields(b"# Server\\r\\nrun_id:ab\\r\\n")
    {'run_id': 'ab'}
    """
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    lines = (line.partition(":") for line in words.splitlines() if ":" in line and not line.startswith("#"))
    return {name: value for name, _, value in lines}


def _answered(answer: Answer, error: HeadraceError) -> Iterator[Finding]:
    if answer != "ignore":
        yield Finding(error, refuse=answer == "refuse")
