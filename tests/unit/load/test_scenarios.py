"""The scenario's person and story on made records: who is promoted when, and what the figures say."""

from contracts.errors import ModelError
from contracts.events import Quality
from feature_repo.generator.plan import DAY_MS
from inference.release.release import Stage
from load.scenarios.pattern_change import problems
from load.scenarios.person import Act, Person
from load.scenarios.plot import Line, Mark, draw
from load.scenarios.story import figures, series_of

START_MS = 1_740_960_000_000


class Hands:
    """A registry that only notes."""

    def __init__(self) -> None:
        self.refuse = False
        self.done = list[tuple[str, str, bool]]()

    def move(self, model: str, to: Stage, why: str, *, force: bool = False) -> None:
        if self.refuse and not force:
            raise ModelError("E_GATE_REFUSED", "golden_rows: 0, limit 1", model)
        self.done.append((to, model, force))


def candidate(model: str, day: int) -> Quality:
    return Quality(
        quality_id=f"c{day}", kind="training", at=START_MS + day * DAY_MS, what="x", code="T_CANDIDATE",
        model=model, counts={}, figures={},
    )  # fmt: skip


def window(
    model: str, stage: str, day: int, precision: float, frauds: int = 50, payments: int = 1000
) -> Quality:
    at_ms = START_MS + day * DAY_MS
    return Quality(
        quality_id=f"{model}{stage}{day}", kind="matured", at=at_ms, what="x", model=model,
        stage=stage,  # type: ignore[arg-type]  # a word of the contract
        window_days=7, window_to=at_ms - 7 * DAY_MS, counts={"positives": frauds, "events": payments},
        figures={"average_precision": precision},
    )  # fmt: skip


def test_the_first_model_decides_at_once_and_others_after_their_shadow_was_better() -> None:
    hands = Hands()
    person = Person(hands)
    person.hear([candidate("m/1", 20)])
    person.hear([candidate("m/2", 50)])
    assert hands.done == [("champion", "m/1", False), ("shadow", "m/2", False)]
    person.hear([window("m/1", "champion", 58, 0.5), window("m/2", "shadow", 58, 0.51)])  # not enough better
    person.hear([window("m/1", "champion", 59, 0.5), window("m/2", "shadow", 59, 0.9, frauds=5)])
    person.hear([window("m/1", "champion", 60, 0.5), window("m/2", "shadow", 60, 0.9, payments=500)])
    assert person.champion == "m/1"
    person.hear([window("m/1", "champion", 61, 0.5), window("m/2", "shadow", 61, 0.6)])
    assert hands.done[2:] == [("champion", "m/2", False), ("shadow", "m/1", True)]
    why = "+0.100 average precision in shadow"
    assert person.acts[-1] == Act("promote", "m/2", START_MS + 61 * DAY_MS, why)


def test_what_a_gate_refuses_is_noted_and_the_champion_stays() -> None:
    hands = Hands()
    person = Person(hands)
    person.hear([candidate("m/1", 20)])
    hands.refuse = True
    person.hear([candidate("m/2", 50)])
    assert (person.champion, hands.done) == ("m/1", [("champion", "m/1", False)])
    assert [act.what for act in person.acts] == ["promote", "refused"]
    assert "golden_rows" in person.acts[-1].why


class Said:
    """What a run said."""

    def __init__(self, quality: list[Quality], drift: list[dict[str, object]]) -> None:
        self.quality, self.drift = quality, drift


def test_the_figures_say_how_much_came_back() -> None:
    quality = [window("m/1", "champion", day, 0.8) for day in range(30, 50)]
    quality += [window("m/1", "champion", day, 0.4) for day in range(50, 60)]
    quality += [window("m/2", "champion", day, 0.7) for day in range(62, 84)]
    quality += [window("m/1", "shadow", day, 0.3) for day in range(62, 84)]
    acts = [Act("promote", f"m/{n}", START_MS + day * DAY_MS, "") for n, day in ((1, 20), (2, 60))]
    change_ms = START_MS + 42 * DAY_MS
    drift: list[dict[str, object]] = [
        {"kind": "incident", "state": "opened", "incident": source, "feature": source, "at": START_MS + at}
        for source, at in (("labels", 30 * DAY_MS), ("labels ", 43 * DAY_MS), ("events", 44 * DAY_MS))
    ]
    alert = {"kind": "alert", "at": START_MS + 44 * DAY_MS, "feature": "score", "detector": "psi"}
    drift += [alert | {"incident": "events"}, alert | {"incident": "events"}]
    found = figures(Said(quality, drift), acts, change_ms, 7)  # type: ignore[arg-type]  # as it is read
    assert found["average_precision"] == {"before": 0.8, "worst": 0.4, "after": 0.7, "old_model_after": 0.3}
    assert abs(found["recovered_ratio"] - 0.75) < 1e-9
    assert found["days_after_change"]["promotion"] == 18.0
    assert found["days_after_change"]["drift_incident"] == 2.0
    told = found["drift_incidents"]
    assert (told["before_change"], told["after_change"]) == (1, 2)
    assert [one["members"] for one in told["opened"]] == [[], [], ["score psi"]]
    assert set(series_of(quality, 7)) == {"m/1 champion", "m/1 shadow", "m/2 champion"}


def test_a_loop_that_cries_wolf_or_comes_late_did_not_close() -> None:
    good = {
        "missing": 0, "recovered_ratio": 0.9, "days_after_change": {"drift_incident": 2.0, "trigger": 9.0},
        "drift_incidents": {"before_change": 3},
    }  # fmt: skip
    assert problems(good) == []
    noisy = problems(good | {"drift_incidents": {"before_change": 4}})
    assert ["4 drift incidents" in text for text in noisy] == [True]
    for days, text in ((3.5, "after 3.5 days"), (None, "no drift incident")):
        late = problems(good | {"days_after_change": {"drift_incident": days, "trigger": 9.0}})
        assert [text in each for each in late] == [True]


def test_a_plot_has_a_line_a_series_and_a_mark_a_moment() -> None:
    lines = [Line("a champion", [(0, 0.1), (5, 1.0)]), Line("a shadow", [(1, 0.2)], dashed=True)]
    text = draw("<t>", "y", lines, [Mark(2, "one"), Mark(3, "two")], 10)
    assert text.count("<polyline") == 2
    assert "&lt;t&gt;" in text
    assert text.count('stroke-dasharray="2 3"') == 2
