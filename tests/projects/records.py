"""What producers of a drawn project send: records of every source, repeats, conflicts and broken ones."""

import json
import random
from collections.abc import Sequence
from typing import Any

from tests.projects.drawn import SourceOf
from tests.projects.fields import START_MS, Field, value_of
from tests.simulation.published import Published

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
Made = tuple[SourceOf, dict[str, Any]]


class Records:
    """Draws a run's records.

    Args:
        partitions: of each source's topic.
    """

    def __init__(self, sources: Sequence[SourceOf], rng: random.Random, partitions: int) -> None:
        self.sources, self.rng, self.partitions = sources, rng, partitions
        self.time_ms = START_MS
        self.made: list[Made] = []

    def records(self, count: int) -> list[Published]:
        """Return the records of the run, in the order in which they are published."""
        return [self._next() for _ in range(count)]

    def probes(self) -> list[Published]:
        """Return a scored record for each value of each key, as far as three records show them."""
        return [self._publish(*self._document(self.sources[0])) for _ in range(3)]

    def _next(self) -> Published:
        draw, rng = self.rng.random(), self.rng
        if draw < 0.1 and self.made:
            return self._publish(*rng.choice(self.made))
        if draw < 0.16 and self.made:
            source, document = rng.choice(self.made)
            return self._publish(source, _changed(source, document, rng))
        made = self._document(rng.choice(self.sources) if rng.random() < 0.5 else self.sources[0])
        if draw < 0.26:
            return self._broken(*made)
        self.made.append(made)
        return self._publish(*made)

    def _document(self, source: SourceOf) -> Made:
        rng = self.rng
        self.time_ms += rng.randint(1, 20) * 60_000
        at_ms = self.time_ms
        if rng.random() < 0.2:
            at_ms -= rng.choice((HOUR_MS // 2, 5 * HOUR_MS, 40 * DAY_MS))
        elif rng.random() < 0.08:
            at_ms += rng.choice((40 * DAY_MS, 1500 * DAY_MS))
        document: dict[str, Any] = {}
        labelled = [one for one in self.made if one[0] is self.sources[0]]
        of = rng.choice(labelled)[1] if source.role == "labels" and labelled else {}
        for field in source.fields:
            known = None if field.name not in source.ids else of.get(field.name)
            if known is None and field.name in source.ids and not field.values:
                known = f"t{rng.randint(0, 60)}"
            value = known if known is not None else rng.choice(field.values) if field.values else None
            if not field.required and rng.random() < 0.25:
                if rng.random() < 0.5:
                    _put(document, field, None)
                continue
            moment = at_ms + rng.randint(0, 3) * HOUR_MS if field.name == "known_at" else at_ms
            _put(document, field, value_of(field, value, moment // 1000 * 1000))
        return source, document

    def _broken(self, source: SourceOf, document: dict[str, Any]) -> Published:
        published, rng = self._publish(source, document), self.rng
        match rng.randrange(4):
            case 0:
                return published._replace(value=(published.value or b"")[:-1])
            case 1:
                return published._replace(key=b"somebody else" if source.key_field else None)
            case 2:
                field = rng.choice([one for one in source.fields if one.required])
                wrong = json.loads(json.dumps(document))
                _put(wrong, field, rng.choice((None, [], {}, -1.5)))
                return published._replace(value=_json(wrong))
            case _:
                return published._replace(value=rng.choice((None, b"", b"[]", b"\xff")))

    def _publish(self, source: SourceOf, document: dict[str, Any]) -> Published:
        named = [one for one in source.fields if one.name == source.key_field]
        key = str(_get(document, named[0])).encode() if named else self.rng.choice((None, b"k"))
        return Published(source.topic, self.rng.randrange(self.partitions), key, _json(document))


def _changed(source: SourceOf, document: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Return a record of the same id that says something else, or the same."""
    other: dict[str, Any] = json.loads(json.dumps(document))
    field = rng.choice([one for one in source.fields if one.kind != "time" and one.name not in source.ids])
    _put(other, field, value_of(field, rng.choice(field.values), 0))
    return other


def _put(document: dict[str, Any], field: Field, value: Any) -> None:
    for step in field.path[:-1]:
        document = document.setdefault(step, {})
    document[field.path[-1] if field.path else field.name] = value


def _get(document: dict[str, Any], field: Field) -> Any:
    for step in field.path[:-1]:
        document = document.get(step, {})
    return document.get(field.path[-1] if field.path else field.name)


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()
