"""The first stage of a project of several sources: whose id an id is, and by which clock it is forgotten."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.frame import Columns, strings
from features.project.running import RunningProject, running_project
from streams.stage.entity_stage import EntityStage
from tests.logins_lake import logins_with_horizons

START_MS, HOUR_MS, DAY_MS = 1_735_689_600_000, 3_600_000, 86_400_000
TEXTS: dict[str, dict[str, bytes]] = {
    "logins": {"device_id": b"d1", "channel": b"web", "result": b"ok", "traceparent": b""},
    "resets": {"method": b"sms"},
    "takeovers": {"outcome": b"takeover"},
}  # fmt: skip
IDS = {"logins": "login_id", "resets": "reset_id", "takeovers": "login_id"}


@pytest.fixture
def project(tmp_path: Path) -> RunningProject:
    return project_in(tmp_path / "logins", {})


def project_in(folder: Path, horizons_ms: dict[str, int]) -> RunningProject:
    """Return the logins, but for the chain: addresses come first, whose views read labels too."""
    logins_with_horizons(folder, horizons_ms)
    text = (folder / "features.py").read_text()
    before, after = "chain=[account, device, ip]", "chain=[ip, account, device]"
    assert before in text
    (folder / "features.py").write_text(text.replace(before, after))
    return running_project(folder)


def rows_of(project: RunningProject, name: str, given: list[tuple[int, str, str, int]]) -> Columns:
    """Return rows of a source: place in the log, id, address and time of each."""
    source = next(one for one in project.pipeline.sources if one.name == name)
    places = np.array([place for place, _, _, _ in given], np.int64)
    times = np.array([at_ms for _, _, _, at_ms in given], np.int64)
    made: Columns = {
        "pos": places << 20, "raw_partition": np.zeros(len(given), np.int32), "raw_offset": places,
        "appended_ms": times, "at": times, source.time: times,
        "ip": strings([address.encode() for _, _, address, _ in given]),
        IDS[name]: strings([one.encode() for _, one, _, _ in given]),
        **{field: strings([text] * len(given)) for field, text in TEXTS[name].items()},
    }  # fmt: skip
    if name != "takeovers":
        made |= {"account_id": strings([b"a1"] * len(given))}
        made["content_hash"] = np.array([hash((name, one)) % 2**63 for _, one, _, _ in given], np.uint64)
    else:
        made["positive"] = np.ones(len(given), np.uint8)
    return made


class Stage:
    """The first stage of one partition, fed a source at a time."""

    def __init__(self, project: RunningProject) -> None:
        self.project, self.kept = project, dict[bytes, bytes]()
        self.stage = EntityStage(project.pipeline, project.entities[0], 0, 3)

    def take(self, name: str, given: list[tuple[int, str, str, int]]) -> Any:
        number = next(one.number for one in self.project.pipeline.sources if one.name == name)
        (outcome,) = self.stage.apply([(number, rows_of(self.project, name, given))]).outcomes
        return outcome

    def restart(self) -> None:
        """Write a checkpoint, end, and begin from it."""
        for key, blob in self.stage.take_dirty():
            if blob is None:
                self.kept.pop(key, None)
            else:
                self.kept[key] = blob
        self.stage = EntityStage(self.project.pipeline, self.project.entities[0], 0, 3)
        self.stage.load(self.kept, {})


def test_an_id_of_one_source_is_no_id_of_another(project: RunningProject) -> None:
    stage = Stage(project)
    assert len(stage.take("logins", [(0, "x1", "h1", START_MS)]).rows["pos"]) == 1
    reset = stage.take("resets", [(0, "x1", "h1", START_MS)])
    assert (len(reset.rows["pos"]), reset.refused, reset.repeats) == (1, [], 0)
    assert stage.take("resets", [(1, "x1", "h1", START_MS)]).repeats == 1


@pytest.mark.parametrize("restarts", [False, True])
def test_an_id_is_remembered_for_as_long_as_its_own_contract_says(restarts: bool, tmp_path: Path) -> None:
    stage = Stage(project_in(tmp_path / "logins", {"logins": HOUR_MS, "resets": 3 * DAY_MS}))
    logins = [(n, f"l{n}", f"h{n % 8}", START_MS + n * 1000) for n in range(64)]
    reset = (0, "r0", "h1", START_MS)
    stage.take("logins", logins)
    stage.take("resets", [reset])
    for after_ms, repeats, resets in ((HOUR_MS // 2, 5, 1), (2 * HOUR_MS, 0, 1), (4 * DAY_MS, 0, 0)):
        later = [(100 + n, f"x{after_ms}-{n}", f"h{n % 8}", START_MS + after_ms + n) for n in range(64)]
        assert stage.take("logins", later).repeats == 0
        if restarts:
            stage.restart()
        again = stage.take("logins", [(200 + n, *rest) for n, *rest in logins[:5]])
        assert (again.repeats, len(again.rows["pos"])) == (repeats, 5 - repeats)
        assert stage.take("resets", [reset]).repeats == resets


def test_a_conflict_says_within_what_time_an_id_is_its_own(tmp_path: Path) -> None:
    stage = Stage(project_in(tmp_path / "logins", {"logins": HOUR_MS // 2}))
    stage.take("logins", [(0, "l1", "h1", START_MS)])
    rows = rows_of(stage.project, "logins", [(1, "l1", "h1", START_MS)])
    rows["content_hash"] += np.uint64(1)
    (outcome,) = stage.stage.apply([(1, rows)]).outcomes
    ((code, why, _),) = outcome.refused
    assert (code, why) == ("E_DUP_CONFLICT", "this ip used this login_id within 0.5 h for other content")


@pytest.mark.parametrize("restarts", [False, True])
def test_a_restart_forgets_no_id_because_labels_came(restarts: bool, project: RunningProject) -> None:
    """Labels move the addresses' clock, days ahead of the logins; ids are forgotten by the logins' own."""
    stage = Stage(project)
    logins = [(n, f"l{n}", f"h{n % 8}", START_MS + n * 1000) for n in range(64)]
    stage.take("logins", logins)
    stage.take("takeovers", [(n, f"l{n}", f"h{n % 8}", START_MS + 9 * DAY_MS + n) for n in range(64)])
    if restarts:
        stage.restart()
    again = stage.take("logins", [(100 + n, *rest) for n, *rest in logins[:5]])
    assert (again.repeats, len(again.rows["pos"])) == (5, 0)
