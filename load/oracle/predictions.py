"""Predictions: one a payment, true to its payment, its features, its model and its place in the order."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from load.oracle import declared as declarations
from load.oracle.bits import same, where
from load.oracle.decisions import KEYS, Scores
from load.oracle.dump import Declared, Dump, Record
from load.oracle.findings import Findings
from load.oracle.intake import Intake, Origin
from load.oracle.stages import Customers, Terminals
from load.oracle.vectors import Vectors

COPIED = {"event_id": "transaction_id", "event_time": "event_time"}  # of a prediction, and of its event
Wrong = list[tuple[str, str]]  # count and example


class Checked(NamedTuple):
    """A prediction as it was read, and what its content alone has wrong."""

    record: Record
    origin: Origin
    prediction: dict[str, Any]
    wrong: Wrong


class PredictionReader:
    """Checks the content of predictions; a record that was checked before is not checked again."""

    def __init__(self, dump: Dump, taken: Intake, stages: tuple[Customers, Terminals]) -> None:
        self._declared, self._taken = dump.declared, taken
        self._known, self._made = stages
        self._scores = Scores(dump.declared, dump.models)
        self._vectors = Vectors(dump.declared)
        self._names = [
            name
            for entity in ("customer", "terminal")
            for name in declarations.columns(declarations.entity(dump.declared, entity))
        ]
        self._checked: dict[int, Checked] = {}

    def read(self, records: Iterable[Record], found: Findings) -> dict[Origin, Checked]:
        """Return each payment's one prediction."""
        records = list(records)
        self._check([record for record in records if self._fresh(record)])
        predictions: dict[Origin, Checked] = {}
        for record in records:
            checked = self._checked[id(record)]
            if checked.origin not in self._known.rows:
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
            if origin in self._known.rows:
                checked.wrong.extend(self._content(origin, prediction))
                fresh.append(checked)
        for checked, wrong in zip(fresh, self._scores.check([c.prediction for c in fresh]), strict=True):
            name = checked.prediction["prediction_id"]
            checked.wrong.extend(("score_mismatch", f"{name}: {what}") for what in wrong)

    def _content(self, origin: Origin, prediction: dict[str, Any]) -> Wrong:
        event, columns = self._taken.good[origin], self._declared.columns
        name = f"{self._declared.epoch}-{origin.partition}-{origin.offset}"
        wrong: Wrong = [
            ("feature_mismatch", f"{name}: {field} is {prediction[field]!r}, not {event[own]!r}")
            for field, own in COPIED.items()
            if prediction[field] != event[own]
        ]
        keys = {entity: event[own] for entity, own in KEYS.items()}
        if prediction["keys"] != keys:
            wrong.append(("feature_mismatch", f"{name}: keys are {prediction['keys']!r}, not {keys!r}"))
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

    def _stored(self, origin: Origin) -> dict[str, float | None]:
        """Return the entities' features as of the payment; null where it never reached the terminal stage."""
        terminal = self._made.rows.get(origin)
        values: list[float | None] = [
            *self._known.rows[origin].values,
            *(terminal.values if terminal else []),
        ]
        return dict(zip(self._names, values + [None] * (len(self._names) - len(values)), strict=True))


def _profile(declared: Declared, prediction: dict[str, Any]) -> dict[str, float | None] | None:
    """Return the batch view's values as recorded; None when there are some although none was served."""
    recorded = dict(zip(declared.columns, prediction["features"]["values"], strict=True))
    profile = {column: recorded[column] for column in declared.profile}
    served = prediction["features"]["groups"]["profile"]["status"] != "default"
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
