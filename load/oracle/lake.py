"""The lake against the topics: each record, or each row of the feature log, is there once."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from load.oracle.dump import Dump, Place
from load.oracle.findings import Findings
from load.oracle.intake import Origin, is_readable
from load.oracle.sources import ProjectOracle


def check_lake(dump: Dump, project: ProjectOracle, order: Mapping[Origin, Any], found: Findings) -> None:
    """Compare every dataset with its topic."""
    letters = [source.dead_letters for source in project.sources]
    for topic in (*project.by_topic, *letters, "predictions"):
        dataset = topic.replace(".", "_")
        rows = set(dump.lake[dataset])
        wanted = [
            place for record in dump.topics[topic]
            if is_readable(record) and (
                (place := (record.partition, record.offset)) in rows or not dump.is_lost(topic, *place)
            )
        ]  # fmt: skip
        _compare(dataset, wanted, dump.lake[dataset], found)
    for source in project.sources:
        wanted = [(origin.partition, origin.offset) for origin in order if origin.topic == source.topic]
        dataset = project.dataset(source)
        _compare(dataset, wanted, dump.lake[dataset], found)


def _compare(dataset: str, wanted: Iterable[Place], rows: Iterable[Place], found: Findings) -> None:
    there = Counter((partition, offset) for partition, offset in rows)
    due = set(wanted)
    for place in due:
        if there[place] != 1:
            found.add("lake_mismatch", f"{dataset}: {place} is there {there[place]} times")
    for place in there.keys() - due:
        found.add("lake_mismatch", f"{dataset}: {place} is there and in no topic")
