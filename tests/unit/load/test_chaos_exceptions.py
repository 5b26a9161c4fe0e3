"""Exceptions raised in workers: every point has its fault, and a worker that lives on is found out."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from contracts import crash_points
from headrace.last_end import LastEnd
from load.chaos.exceptions import EXCEPTIONS, HANDLED, ONCE, catalogue, drawn, raise_at
from load.chaos.faults import chosen
from load.chaos.site import Site, kinds_of
from load.chaos.stack import End

CODED = LastEnd(exit_code=70, code="E_INTERNAL", what="MemoryError()", where="turn", next_step="look")


class FakeStand:
    """Workers of one process each; the armed one obeys at once and ends as it is told."""

    def __init__(self, folder: Path, end: Callable[[str], End | None]) -> None:
        self.folder, self._end = folder, end
        self.ends: list[End] = []
        self.worker = SimpleNamespace(name="gate", kind=("gate",), process=SimpleNamespace(pid=1))
        self.supervisor = SimpleNamespace(of_kind=lambda _: [self.worker])

    def process_of(self, worker: Any) -> Any:
        return worker.process

    def until(self, done: Callable[[], bool], _timeout_s: float) -> bool:
        for armed in self.folder.glob("gate"):
            armed.rename(armed.with_name("gate.hit"))
            if end := self._end(armed.name):
                self.ends.append(end)
        return done()


def struck(tmp_path: Path, end: End | None) -> Site:
    stack: Any = FakeStand(tmp_path, lambda _: end)
    site = Site(stack, tmp_path, lambda: 0, lambda: 0, lambda: 0, lambda _: 0, lambda _: None)
    assert raise_at("gate.turn", site, np.random.default_rng(1))
    return site


def test_a_worker_that_ends_with_a_code_is_right(tmp_path: Path) -> None:
    site = struck(tmp_path, End("gate", CODED))
    assert not site.found
    assert site.code_points == {"raise:gate.turn": 1}


@pytest.mark.parametrize(
    "end",
    [
        None,
        End("gate", None),
        End("gate", LastEnd(exit_code=1, code="E_INTERNAL")),
        End("gate", LastEnd(exit_code=70)),
    ],
    ids=["it goes on", "it ends in order", "an answer", "without a code"],
)
def test_any_other_outcome_is_found(tmp_path: Path, end: End | None) -> None:
    site = struck(tmp_path, end)
    assert site.found["swallowed"] == 1
    assert "at gate.turn of gate" in site.examples["swallowed"][0]


def test_every_point_of_a_worker_has_its_exception() -> None:
    points = (
        *crash_points.POINTS, *crash_points.SEAM_POINTS, *crash_points.LEARNER_POINTS,
        *crash_points.SERVE_POINTS,
    )  # fmt: skip
    assert set(catalogue()) == {f"raise:{point}" for point in points}
    assert set(chosen(("raise",))) == set(catalogue())
    assert all(kinds_of(point) for point in points)
    assert set(ONCE) <= set(points)


def test_every_exception_is_drawn_where_it_is_not_handled() -> None:
    def found(point: str) -> set[str]:
        return {drawn(point, np.random.default_rng(seed)) for seed in range(60)}

    assert found("gate.turn") == set(EXCEPTIONS)
    for name, points in HANDLED.items():
        for point in points:
            assert found(point) == set(EXCEPTIONS) - {name}


def test_the_hook_of_a_worker_that_swallows_leaves_the_order_obeyed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gate").write_text("gate.turn:1:RAISE=MemoryError")
    monkeypatch.setattr(crash_points, "_WHEN", f"@{tmp_path}")
    monkeypatch.setenv("HEADRACE_WORKER", "gate")
    monkeypatch.setattr(crash_points, "_PLANTED", crash_points.SWALLOW)
    crash_points.reach("gate.turn")
    assert (tmp_path / "gate.hit").exists()
