"""What moves for one cause is one incident: it opens, gets members, is quiet for a while, closes."""

import itertools
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest

from contracts.events import Drift
from inference.drift.baseline import Baseline, measure
from inference.drift.error_drift import ErrorDrift
from inference.drift.events import DriftEvent, Place, cleared
from inference.drift.full_windows import LONG_AGO, Began, reaches_of
from inference.drift.incidents import Incidents
from inference.drift.settings import DriftSettings
from inference.drift.watch import DriftWatch
from load.this_project import PROJECT, SERVICE

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
BEGIN_MS = 1_522_627_200_000  # a Monday
PLACE = Place(2, "fraud/1")
SOURCES_OF = reaches_of(PROJECT).sources_of


def _alert(feature: str, at_ms: int, detector: str = "psi", what: Any = "input") -> DriftEvent:
    return Drift(
        kind="alert", what=what, detector=detector, feature=feature, partition=2, model="fraud/1",
        what_to_do="look", at=at_ms, since=at_ms - HOUR_MS, statistic=0.3, limit=0.1,
    )  # fmt: skip


def _back(feature: str, at_ms: int, detector: str = "psi") -> DriftEvent:
    return cleared(PLACE, "input", feature, detector, at_ms)


def _kinds(events: list[DriftEvent]) -> list[str]:
    return [event.state if event.kind == "incident" else event.kind for event in events]  # type: ignore[misc]


def test_an_incident_opens_gets_members_and_closes_once_it_has_been_quiet() -> None:
    incidents = Incidents(PLACE, within_ms=3 * HOUR_MS, sources_of=SOURCES_OF)
    first = incidents.grouped([_alert("amount_minor", 0)], 0)
    assert _kinds(first) == ["opened", "alert"]
    opened = first[0]
    assert (opened.feature, opened.detector, opened.what) == ("events", "all", "all")
    assert opened.members is not msgspec.UNSET
    assert opened.members is not None
    (member,) = opened.members
    assert (member.feature, member.since, member.statistic, member.limit) == (
        "amount_minor", -HOUR_MS, 0.3, 0.1
    )  # fmt: skip
    later = incidents.grouped([_alert("terminal_amount_mean_24h", 2 * HOUR_MS)], 2 * HOUR_MS)
    assert _kinds(later) == ["alert"]
    assert later[0].incident == opened.incident
    assert _kinds(incidents.grouped([_back("amount_minor", 3 * HOUR_MS)], 3 * HOUR_MS)) == ["cleared"]
    assert incidents.grouped([], 9 * HOUR_MS) == []  # a member is still over its limit
    back = incidents.grouped([_back("terminal_amount_mean_24h", 10 * HOUR_MS)], 10 * HOUR_MS)
    assert [(event.kind, event.incident) for event in back] == [("cleared", opened.incident)]
    (closed,) = incidents.grouped([], 14 * HOUR_MS)
    assert (closed.kind, closed.state, closed.incident) == ("incident", "closed", opened.incident)
    assert closed.at == 13 * HOUR_MS
    assert [m.feature for m in closed.members or []] == ["amount_minor", "terminal_amount_mean_24h"]
    again = incidents.grouped([_alert("amount_minor", 15 * HOUR_MS)], 15 * HOUR_MS)
    assert _kinds(again) == ["opened", "alert"]
    assert again[0].incident != opened.incident


def test_what_goes_and_comes_within_the_time_stays_one_incident() -> None:
    incidents = Incidents(PLACE, within_ms=3 * HOUR_MS, sources_of=SOURCES_OF)
    told = incidents.grouped([_alert("amount_minor", 0)], 0)
    for hour in range(1, 20, 2):
        told += incidents.grouped([_back("amount_minor", hour * HOUR_MS)], hour * HOUR_MS)
        told += incidents.grouped([_alert("amount_minor", (hour + 1) * HOUR_MS)], (hour + 1) * HOUR_MS)
    assert _kinds(told).count("opened") == 1
    assert "closed" not in _kinds(told)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("amount_minor", "customer_count_24h", True),  # both of payments
        ("terminal_labels_1d", "terminal_fraud_ratio_7d", True),  # both of labels
        ("amount_minor", "terminal_labels_1d", False),
        ("profile_terminals", "terminal_labels_1d", False),
        ("customer_amount_ratio_30d", "amount_minor", True),  # derived of payments
        ("amount_minor", "score", True),  # a score follows from anything
        ("score", "terminal_labels_1d", True),
        ("refused", "decision", True),
    ],
)
def test_alerts_belong_together_by_what_they_are_made_of(one: str, other: str, same: bool) -> None:
    incidents = Incidents(PLACE, within_ms=DAY_MS, sources_of=SOURCES_OF)
    told = incidents.grouped([_alert(one, 0), _alert(other, HOUR_MS)], HOUR_MS)
    assert _kinds(told).count("opened") == (1 if same else 2)
    late = Incidents(PLACE, within_ms=DAY_MS, sources_of=SOURCES_OF)
    told = late.grouped([_alert(one, 0), _alert(other, 2 * DAY_MS)], 2 * DAY_MS)
    assert _kinds(told).count("opened") == 2


def test_a_chain_of_slower_features_is_one_incident_and_a_reminder_adds_none() -> None:
    incidents = Incidents(PLACE, within_ms=DAY_MS, sources_of=SOURCES_OF)
    names = ["customer_count_1h", "customer_count_24h", "customer_count_7d", "customer_count_30d"]
    told = [
        event
        for day, name in enumerate(names)
        for event in incidents.grouped([_alert(name, day * DAY_MS)], day * DAY_MS)
    ]
    told += incidents.grouped([_alert("customer_count_1h", 9 * DAY_MS)], 9 * DAY_MS)  # it still stands
    assert _kinds(told).count("opened") == 1
    assert len({event.incident for event in told}) == 1
    told = incidents.grouped([_alert("amount_minor", 9 * DAY_MS)], 9 * DAY_MS)  # long after the last member
    assert _kinds(told) == ["opened", "alert"]


def test_incidents_that_open_in_one_moment_have_names_of_their_own() -> None:
    incidents = Incidents(PLACE, within_ms=0, sources_of=SOURCES_OF)
    names = ["amount_minor", "customer_count_1h", "terminal_labels_1d", "score"]
    told = [e for n, name in enumerate(names) for e in incidents.grouped([_alert(name, n)], n)]
    opened = [event.incident for event in told if event.state == "opened"]
    assert len(set(opened)) == len(opened) == 4
    assert all(len(str(name)) <= 128 for name in opened)


def test_every_record_keeps_the_contract() -> None:
    incidents = Incidents(Place(2, "m" * 256), within_ms=HOUR_MS, sources_of=SOURCES_OF)
    told = incidents.grouped([_alert("amount_minor", 0), _back("amount_minor", 1)], 3 * HOUR_MS)
    assert _kinds(told) == ["opened", "alert", "cleared", "closed"]
    for event in told:
        assert msgspec.json.decode(msgspec.json.encode(event), type=Drift) == event


def _rows(count: int, seed: int, begin_ms: int, factor: float = 1.0) -> dict[str, Any]:
    """Return payments a minute apart of which all features of payments follow the amount."""
    rng = np.random.default_rng(seed)
    vectors = rng.lognormal(3, 1, (count, len(SERVICE.columns)))
    for i, name in enumerate(SERVICE.columns):
        if "amount" in name and not name.startswith("profile"):
            vectors[:, i] *= factor
    times = begin_ms + 60_000 * np.arange(count)
    return {"event_ms": times, "vectors": vectors, "scores": np.minimum(1, rng.beta(1, 9, count) * factor)}


def _usual() -> Baseline:
    rows = _rows(14 * 1440, 1, BEGIN_MS - 14 * DAY_MS)
    matrix = np.column_stack([rows["vectors"], rows["scores"]])
    return measure([*SERVICE.columns, "score"], matrix, rows["event_ms"])


USUAL = _usual()
EVERY = DriftSettings(sample_every=1, chunk_rows=64, rows_min=400, look_rows=128)


@cache
def _fed(began: Began = LONG_AGO, steps: int = 500, cut: int = 0) -> list[DriftEvent]:
    """Return what is told of three days as usual and three of doubled amounts; `cut` begins anew there."""
    watch = DriftWatch(SERVICE.columns, PROJECT, EVERY)
    parts = _rows(3 * 1440, 2, BEGIN_MS), _rows(3 * 1440, 3, BEGIN_MS + 3 * DAY_MS, 3.0)
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    watch.began_at(0, began)
    watch.model_is("fraud/1", USUAL)
    events = watch.restart([0], "taken over")
    for begin in range(cut, len(rows["event_ms"]), steps):
        part = {name: column[begin : begin + steps] for name, column in rows.items()}
        nothing = np.zeros(len(part["event_ms"]), np.int32)
        events += watch.feed(nothing, part["event_ms"], part["vectors"], part["scores"])
    return events


def test_amounts_that_double_are_one_incident_of_all_that_moved() -> None:
    events = _fed()
    opened = [event for event in events if event.state == "opened"]
    assert [event.feature for event in opened] == ["events"]
    members = {(e.feature, e.detector) for e in events if e.kind == "alert"}
    moved = {name for name in SERVICE.columns if "amount" in name and not name.startswith("profile")}
    assert {feature for feature, _ in members} >= moved | {"score"}
    assert {e.incident for e in events if e.kind == "alert"} == {opened[0].incident}
    assert opened[0].at >= BEGIN_MS + 3 * DAY_MS  # type: ignore[operator]


def test_incidents_are_the_same_in_a_replay_however_rows_were_batched() -> None:
    found = [_fed(steps=steps) for steps in (500, 77, 5000)]
    assert found[0] == found[1] == found[2]
    assert _fed(cut=1440, steps=1000) == _fed(cut=1440)  # so are those of a worker that took over there


def test_nothing_is_told_of_windows_that_are_not_full() -> None:
    """The stream is two days old where the rows begin: what reaches back a week or a month is not told of."""
    young = Began(events_ms=BEGIN_MS - 2 * DAY_MS, labels_ms=BEGIN_MS + 2 * DAY_MS)
    told = {event.feature for event in _fed(young) if event.kind == "alert"}
    assert {"amount_minor", "customer_amount_mean_1h", "customer_amount_max_24h"} <= told
    assert not [name for name in told if "7d" in name or "30d" in name or "labels" in name]
    assert not told & {"customer_last_amount", "profile_amount_mean", "score", "refused"}
    unknown = {event.kind for event in _fed(Began())}
    assert unknown == {"restart"}


def test_what_was_not_full_is_told_of_once_it_is() -> None:
    """The week's windows were filled on the first day of the rows."""
    began = Began(events_ms=BEGIN_MS - 7 * DAY_MS)
    told = {event.feature for event in _fed(began) if event.kind == "alert"}
    assert {"customer_amount_mean_7d", "terminal_amount_mean_7d"} <= told
    assert not [name for name in told if "30d" in name]


def test_without_a_model_nothing_is_told_whatever_moves() -> None:
    watch = DriftWatch(SERVICE.columns, PROJECT, EVERY)
    events = watch.restart([0], "taken over")
    for n, factor in enumerate((1.0, 9.0, 0.1)):
        rows = _rows(3 * 1440, n, BEGIN_MS + 3 * n * DAY_MS, factor)
        nothing = np.zeros(len(rows["event_ms"]), np.int32)
        events += watch.feed(nothing, rows["event_ms"], rows["vectors"], None, nothing.astype(np.uint8))
    assert [event.kind for event in events] == ["restart"]


def test_errors_that_rise_are_an_incident_of_their_own() -> None:
    rng = np.random.default_rng(3)
    errors = np.concatenate([rng.random(4000) < 0.05, rng.random(3000) < 0.4]).astype(float)
    times = BEGIN_MS + 60_000 * np.arange(len(errors))
    one, many = ErrorDrift(DriftSettings(), "fraud/1"), ErrorDrift(DriftSettings(), "fraud/1")
    singly = [
        e for at, error in zip(times.tolist(), errors.tolist(), strict=True) for e in one.feed(at, error)
    ]
    assert singly == many.feed_many(times, errors)
    assert _kinds(singly)[:2] == ["opened", "alert"]
    assert singly[0].feature == "error"
    assert len({e.incident for e in singly}) == 1
    assert all(a.at <= b.at for a, b in itertools.pairwise(singly))  # type: ignore[operator]
