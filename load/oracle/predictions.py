"""Predictions: one an event, true to its event, its features, its model and its place in the order."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from load.oracle.bits import same, where
from load.oracle.decisions import Scores
from load.oracle.dump import Declared, Record
from load.oracle.findings import Findings
from load.oracle.intake import Origin
from load.oracle.sources import terms_at
from load.oracle.stages import Stages, StageWork
from load.oracle.vectors import Vectors

Wrong = list[tuple[str, str]]  # count and example


class Checked(NamedTuple):
    """A prediction as it was read, and what its content alone has wrong."""

    record: Record
    origin: Origin
    prediction: dict[str, Any]
    wrong: Wrong


class PredictionReader:
    """Checks the content of predictions; a record that was checked before is not checked again."""

    def __init__(self, run: StageWork, stages: Stages) -> None:
        dump = run.dump
        self._declared, self._taken, self._project, self._stages = (
            dump.declared,
            run.taken,
            run.project,
            stages,
        )
        self._source = run.project.scored
        self._scores = Scores(dump.declared, dump.models, self._source.kinds)
        self._vectors = Vectors(dump.declared, self._source.kinds)
        self._checked: dict[int, Checked] = {}

    def read(self, records: Iterable[Record], found: Findings) -> dict[Origin, Checked]:
        """Return each event's one prediction."""
        records = list(records)
        self._check([record for record in records if self._fresh(record)])
        predictions: dict[Origin, Checked] = {}
        for record in records:
            checked = self._checked[id(record)]
            if not self._is_due(checked.origin):
                found.add("phantom", f"a prediction of {checked.origin}")
            elif checked.origin in predictions:
                found.add("duplicate", f"a second prediction of {checked.origin}")
            else:
                predictions[checked.origin] = checked
                for name, example in checked.wrong:
                    found.add(name, example)
        return predictions

    def _fresh(self, record: Record) -> bool:
        checked = self._checked.get(id(record))
        return checked is None or checked.record is not record

    def _check(self, records: list[Record]) -> None:
        fresh = []
        for record in records:
            prediction = json.loads(record.value or b"")
            source = prediction["source"]
            origin = Origin(source["topic"], source["partition"], source["offset"])
            checked = Checked(record, origin, prediction, [])
            self._checked[id(record)] = checked
            if self._is_due(origin):
                checked.wrong.extend(self._content(origin, prediction))
                fresh.append(checked)
        events = [self._source.plain(self._taken.good[checked.origin]) for checked in fresh]
        for checked, wrong in zip(
            fresh, self._scores.check([c.prediction for c in fresh], events), strict=True
        ):
            name = checked.prediction["prediction_id"]
            checked.wrong.extend(("score_mismatch", f"{name}: {what}") for what in wrong)

    def _content(self, origin: Origin, prediction: dict[str, Any]) -> Wrong:
        row, columns = self._taken.good[origin], self._declared.columns
        event = self._source.plain(row)
        name = f"{self._declared.epoch}-{origin.partition}-{origin.offset}"
        terms = terms_at(self._source, row["appended_ms"])
        keys = self._project.keys(row)
        due = {
            "event_id": self._project.event_id(row), "event_time": row[self._source.time], "keys": keys,
            "contract": f"{self._source.topic}/{terms.version}",
        }  # fmt: skip
        wrong: Wrong = [
            ("feature_mismatch", f"{name}: {field} is {prediction[field]!r}, not {value!r}")
            for field, value in due.items()
            if prediction[field] != value
        ]
        groups = prediction["features"]["groups"]
        lacking = {entity for entity in keys if groups[entity]["status"] == "no_key"}
        if lacking != {entity for entity, key in keys.items() if key is None}:
            wrong.append(("feature_mismatch", f"{name}: says that the keys of {sorted(lacking)} are missing"))
        if prediction["prediction_id"] != name:
            wrong.append(("phantom", f"{prediction['prediction_id']} should be {name}"))
        values = prediction["features"]["values"]
        profile = _profile(self._declared, prediction)
        if profile is None:
            wrong.append(("feature_mismatch", f"{name}: a profile that is not there has values"))
        expected = self._vectors.of(event, {**self._stored(origin), **(profile or {})})
        if not same(values, expected):
            wrong.append(("feature_mismatch", f"{name}: {where(values, expected, columns)}"))
        return wrong

    def _is_due(self, origin: Origin) -> bool:
        """Return whether an event passed the first stage and asks for a decision."""
        return origin.topic == self._source.topic and origin in self._stages.first.rows

    def _stored(self, origin: Origin) -> dict[str, float | None]:
        """Return the entities' features as of the event; null where it never reached their stage."""
        named: dict[str, float | None] = {}
        for stage in self._stages.made:
            judged = stage.rows.get(origin)
            named |= dict.fromkeys(stage.columns)
            named |= dict(zip(stage.columns, judged.values, strict=True)) if judged else {}
        return named


def _profile(declared: Declared, prediction: dict[str, Any]) -> dict[str, float | None] | None:
    """Return the batch view's values as recorded; None when there are some although none was served."""
    recorded = dict(zip(declared.columns, prediction["features"]["values"], strict=True))
    profile = {column: recorded[column] for column in declared.profile}
    group = prediction["features"]["groups"].get("profile")
    served = group is not None and group["status"] != "default"
    return profile if served or all(value is None for value in profile.values()) else None


def check_order(
    predictions: Mapping[Origin, Checked], order: Mapping[Origin, tuple[int, int]], found: Findings
) -> None:
    """Predictions of one partition of `features.log` keep its order in each partition they went to."""
    newest: dict[tuple[int, int], int] = {}
    for origin, checked in predictions.items():
        if origin not in order:
            continue
        partition, number = order[origin]
        lane = (checked.record.partition, partition)
        if number < newest.get(lane, -1):
            found.add("order", f"the prediction of {origin} comes after one of a later row")
        newest[lane] = max(number, newest.get(lane, -1))
