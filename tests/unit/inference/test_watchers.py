"""Watchers outlive bad content and a disk that fails for a while; anything else ends the process."""

import errno
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from prometheus_client import CollectorRegistry

from contracts.errors import HeadraceError, ModelError
from features.project.running import RunningProject
from inference.models.manifest import CHAMPION_FILE, RELEASE_FILE, Champion, folder_of
from inference.models.model import Model, ModelName
from inference.policy.policy import DeclaredPolicy, policy_of, read_policy
from inference.policy.store import POLICY_FILE, keep
from inference.policy.watch import PolicyWatch
from inference.release.champion import LOOKS_TO_READ_AGAIN, ChampionWatch
from inference.release.keeper import ReleaseKeeper
from inference.release.mirror import Mirror, MirrorMetrics, MirrorWatch
from inference.release.registry import Registry
from inference.release.registry_store import FolderStore
from inference.release.settings import CanarySettings
from load.this_project import PROJECT
from runtime import ending
from runtime.health import Health
from runtime.watchdog import Watchdog
from runtime.watched import Watched, WatchMetrics
from tests.unit.inference.support import StillClock
from tests.unit.inference.versions import CHANGE, add
from tests.waiting import until

GOOD = PROJECT.policy_path.read_bytes()
BAD_POLICIES = {
    "template": GOOD + b"\nmore: {{ review_threshold }}\n",
    "tag": GOOD + b"\nmore: !!timestamp x\n",
    "date": GOOD + b"\nmore: !!timestamp 2023-02-30\n",
    "override until no day": GOOD.replace(
        b"overrides: []",
        b"overrides:\n  - {id: a, decision: approve, until: 9999-99-99, who: w, why: w, customer: c}",
    ),
    "5,000 digits": GOOD.replace(b"a_row: ", b"a_row: " + b"9" * 5000),
    "deep": b"a: " + b"[" * 100_000,
    "alias of itself": b"a: &a [*a]\n",
    "half a surrogate pair": GOOD.replace(b"name: default", b'name: "\\ud800"'),
    "bytes": bytes(range(256)) * 4,
    "NUL": b"\0" * 4096,
    "half written": GOOD[: len(GOOD) // 2],
    "empty": b"",
    "huge": b"# " + b"x" * (2 << 20),
}
BAD_RELEASES = {
    "deep": b'{"change":{"a":' + b"[" * 200_000,
    "deep and unknown": b'{"more":' + b"[" * 200_000,
    "5,000 digits": b'{"revision":' + b"9" * 5000 + b"}",
    "bytes": bytes(range(256)),
    "half written": b'{"revision": 1, "champ',
    "list": b"[]",
    "names elsewhere": b'{"revision":1,"champion":{"name":"../..","version":"\\u0000","sha256":""}}',
    "no such version": b'{"revision":1,"champion":{"name":"fraud","version":"9","sha256":""}}',
}


class Ear:
    """Hears both watches."""

    def __init__(self) -> None:
        self.live: list[str] = []
        self.refused: list[str] = []

    def policy_live(self, declared: Any) -> None:
        self.live.append(declared.policy.name)

    def policy_refused(self, error: HeadraceError) -> None:
        self.refused.append(error.code)

    def model_live(self, identity: ModelName) -> None:
        self.live.append(identity.version)

    model_refused = policy_refused


class Tagged:
    """A model that is a name tag."""

    def __init__(self, pointer: Champion) -> None:
        self.identity = ModelName(pointer.name, pointer.version, "champion", pointer.sha256)


def load(pointer: Champion) -> Model:
    folder_of(Path("models"), pointer)
    if pointer.version == "9":
        raise ModelError("E_MODEL_FILE", "cannot be read")
    return Tagged(pointer)  # type: ignore[return-value]


class Watching:
    """A watcher's health and counts."""

    def __init__(self, name: str) -> None:
        self.registry, self.health = CollectorRegistry(), Health()
        self.watched = Watched(name, self.health, WatchMetrics(self.registry, "scorer"))
        self._name = name

    def failures(self, code: str) -> float:
        labels = {"watcher": self._name, "code": code}
        return self.registry.get_sample_value("headrace_scorer_watch_failures_total", labels) or 0.0

    def stale_s(self) -> float:
        found = self.registry.get_sample_value("headrace_scorer_watch_stale_seconds", {"watcher": self._name})
        assert found is not None
        return found


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, int], None]:
    """Make every stat and open of a folder fail with an errno, 0 for none."""
    real_stat, real_open = os.stat, os.open
    now: dict[str, int] = {}

    def check(path: Any) -> None:
        for folder, number in now.items():
            if number and str(path).startswith(folder):
                raise OSError(number, os.strerror(number), str(path))

    def stat(path: Any, *rest: Any, **more: Any) -> Any:
        check(path)
        return real_stat(path, *rest, **more)

    def open_(path: Any, *rest: Any, **more: Any) -> Any:
        check(path)
        return real_open(path, *rest, **more)

    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(os, "open", open_)
    return lambda folder, number: now.__setitem__(str(folder), number)


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Hear what would end the process, instead of its end."""
    codes: list[str] = []

    def end(error: HeadraceError, _cause: BaseException | None = None) -> NoReturn:
        codes.append(f"{error.code} {error.exit_code} {error.where}")
        raise SystemExit(error.exit_code)

    monkeypatch.setattr(ending, "end", end)
    for module, hook in ((threading, "excepthook"), (sys, "excepthook"), (sys, "unraisablehook")):
        monkeypatch.setattr(module, hook, getattr(module, hook))
    ending.install()
    return codes


@pytest.mark.parametrize("bad", BAD_POLICIES.values(), ids=BAD_POLICIES)
def test_a_bad_policy_file_leaves_the_present_one_and_the_next_good_one_is_taken(
    bad: bytes, tmp_path: Path
) -> None:
    ear, watching, file = Ear(), Watching("policy-watch"), tmp_path / POLICY_FILE
    watch = PolicyWatch(PROJECT, tmp_path, None, ear, watched=watching.watched)
    watch.look()
    file.write_bytes(bad)
    for _ in range(3):
        assert watch.look() is not None
    assert watch.current().policy.name == "default"
    assert (len(ear.refused), watching.failures(ear.refused[0])) == (1, 3)
    assert watching.stale_s() > 0
    assert watching.health.report()["status"] == "stale"
    file.write_bytes(GOOD.replace(b"name: default", b"name: next", 1))
    watch.look()
    assert (watch.current().policy.name, watching.stale_s()) == ("next", 0)
    assert watching.health.report()["status"] == "ok"


@pytest.mark.parametrize("bad", BAD_POLICIES.values(), ids=BAD_POLICIES)
def test_a_start_under_a_bad_policy_file_goes_on_with_the_last_live_one(bad: bytes, tmp_path: Path) -> None:
    keep(tmp_path, read_policy(PROJECT.policy_path, PROJECT))
    (tmp_path / POLICY_FILE).write_bytes(bad)
    watching = Watching("policy-watch")
    watch = PolicyWatch(PROJECT, tmp_path, None, Ear(), 60.0, watched=watching.watched)
    watch.start()
    watch.close()
    assert watch.current().policy.name == "default"
    assert watching.health.report()["status"] == "stale"


@pytest.mark.parametrize("live", [b"\xff\xfe", b"../../etc/passwd", b"\0", b"0" * 64, b"x" * 5000])
def test_a_damaged_note_of_the_last_live_policy_is_none(live: bytes, tmp_path: Path) -> None:
    (tmp_path / ".policies").mkdir()
    (tmp_path / ".policies" / "live").write_bytes(live)
    (tmp_path / POLICY_FILE).write_bytes(b"{")
    with pytest.raises(HeadraceError, match="E_CONFIG_YAML"):
        PolicyWatch(PROJECT, tmp_path, None, Ear()).start()


@pytest.mark.parametrize(
    ("file", "bad"),
    [
        *((RELEASE_FILE, bad) for bad in BAD_RELEASES.values()),
        *((CHAMPION_FILE, bad) for bad in BAD_RELEASES.values() if b"revision" not in bad),
    ],
)
def test_a_bad_release_leaves_the_present_model_and_the_next_good_one_is_taken(
    file: str, bad: bytes, tmp_path: Path
) -> None:
    ear, watching = Ear(), Watching("champion-watch")
    watch = ChampionWatch(tmp_path, load, ear, watched=watching.watched)
    place = tmp_path / file
    place.write_bytes(_naming(file, 1))
    watch.look()
    place.write_bytes(bad)
    for _ in range(3):
        watch.look()
    assert [model.identity.version for model in (watch.current(),) if model] == ["1"]
    assert len(ear.refused) == 1
    assert watching.failures(ear.refused[0]) == 3
    assert watching.health.report()["status"] == "stale"
    place.write_bytes(_naming(file, 2))
    watch.look()
    assert ear.live == ["1", "2"]
    assert watching.health.report()["status"] == "ok"


def _naming(file: str, version: int) -> bytes:
    """Return a file that says which version is champion."""
    champion = b'{"name":"fraud","version":"%d","sha256":""}' % version
    return champion if file == CHAMPION_FILE else b'{"revision":%d,"champion":%b}' % (version, champion)


PASSING = [errno.ESTALE, errno.EACCES, errno.EIO, errno.EMFILE]


@pytest.mark.parametrize("number", PASSING)
def test_a_disk_that_fails_for_a_while_is_waited_out(
    number: int, tmp_path: Path, failing: Callable[[Path, int], None]
) -> None:
    (tmp_path / POLICY_FILE).write_bytes(GOOD)
    policy, release = Watching("policy-watch"), Watching("champion-watch")
    policies = PolicyWatch(PROJECT, tmp_path, None, Ear(), 0.01, watched=policy.watched)
    models = ChampionWatch(tmp_path, load, Ear(), 0.01, watched=release.watched)
    policies.start()
    models.start()
    failing(tmp_path, number)
    until(lambda: policy.failures("E_POLICY_FILE") > 1, timeout_s=10, what="the policy watch fails")
    until(lambda: release.failures("E_MODEL_FILE") > 1, timeout_s=10, what="the champion watch fails")
    assert policies.current().policy.name == "default"
    failing(tmp_path, 0)
    (tmp_path / POLICY_FILE).write_bytes(GOOD.replace(b"name: default", b"name: next", 1))
    (tmp_path / CHAMPION_FILE).write_bytes(b'{"name":"fraud","version":"1","sha256":""}')
    until(lambda: policies.current().policy.name == "next", timeout_s=10, what="the next policy")
    until(lambda: models.current() is not None, timeout_s=10, what="the next model")
    assert (policy.stale_s(), release.stale_s()) == (0, 0)
    policies.close()
    models.close()


def test_a_version_that_could_not_be_read_is_read_again_soon(tmp_path: Path) -> None:
    tries: list[str] = []

    def once_unreadable(pointer: Champion) -> Model:
        tries.append(pointer.version)
        if len(tries) == 1:
            raise OSError(errno.ESTALE, "Stale file handle", "model.txt")
        return load(pointer)

    ear = Ear()
    watch = ChampionWatch(tmp_path, once_unreadable, ear)
    (tmp_path / CHAMPION_FILE).write_bytes(b'{"name":"fraud","version":"1","sha256":""}')
    for _ in range(LOOKS_TO_READ_AGAIN + 1):
        watch.look()
    assert (ear.refused, ear.live) == (["E_MODEL_FILE"], ["1"])


def test_the_keeper_counts_a_full_disk_and_writes_what_it_owed(
    tmp_path: Path, failing: Callable[[Path, int], None]
) -> None:
    registry, watching = Registry(tmp_path, FolderStore(tmp_path)), Watching("release-keeper")
    registry.promote(add(registry), CHANGE)
    keeper = ReleaseKeeper(tmp_path, "scorer-0", CanarySettings(), StillClock(), watched=watching.watched)
    keeper.count("fraud/1", 3, 0)
    failing(tmp_path, errno.ENOSPC)
    for _ in range(2):
        keeper._attempt([keeper.look])
    assert watching.failures("E_RELEASE_WRITE") == 2
    assert watching.stale_s() > 0
    failing(tmp_path, 0)
    keeper._attempt([keeper.look])
    assert watching.stale_s() == 0
    assert b'"scores":3' in (tmp_path / "evidence" / "scorer-0.json").read_bytes()


@pytest.mark.parametrize("number", PASSING)
def test_the_mirror_waits_out_a_disk_and_overwrites_nothing_that_it_cannot_read(
    number: int, tmp_path: Path, failing: Callable[[Path, int], None]
) -> None:
    record, here = tmp_path / "record", tmp_path / "here"
    elsewhere = Registry(record, FolderStore(record))
    elsewhere.promote(add(elsewhere), CHANGE)
    here.mkdir()
    ahead = b'{"revision": 99}'
    (here / RELEASE_FILE).write_bytes(ahead)
    watching = Watching("mirror")
    mirror = MirrorWatch(
        Mirror(FolderStore(record), here), MirrorMetrics(CollectorRegistry()), watching.watched
    )
    failing(here, number)
    mirror.look()
    assert watching.stale_s() > 0
    failing(here, 0)
    assert (here / RELEASE_FILE).read_bytes() == ahead
    mirror.look()
    assert watching.failures("E_MODEL_MIRROR") >= 1, "the folder is ahead of its record"


@pytest.mark.parametrize("data", [PROJECT.policy_path.read_bytes(), b"name: [unfinished"])
def test_a_policy_file_that_stays_as_it_is_is_understood_once(
    data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    understood: list[bytes] = []

    def counting(data: bytes, path: Path, project: RunningProject) -> DeclaredPolicy:
        understood.append(data)
        return policy_of(data, path, project)

    monkeypatch.setattr("inference.policy.watch.policy_of", counting)
    file = tmp_path / "policy.yaml"
    file.write_bytes(data)
    watch = PolicyWatch(PROJECT, tmp_path, file, Ear())
    answers = [str(watch.look()) for _ in range(3)]
    assert understood == [data]
    assert len(set(answers)) == 1
    file.write_bytes(data + b"\n")
    watch.look()
    assert understood == [data, data + b"\n"]


@pytest.mark.parametrize("error", [MemoryError(), TypeError("no such type"), RuntimeError("odd")])
def test_any_other_exception_of_a_watching_thread_ends_the_process(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: list[str]
) -> None:
    def fails(*_: object) -> NoReturn:
        raise error

    policies, models = (
        PolicyWatch(PROJECT, tmp_path, None, Ear(), 0.01),
        ChampionWatch(tmp_path, load, Ear(), 0.01),
    )
    keeper = ReleaseKeeper(tmp_path, "scorer-0", CanarySettings(), StillClock())
    policies.start()
    models.start()
    keeper.start()
    monkeypatch.setattr("inference.policy.watch.policy_bytes", fails)
    monkeypatch.setattr("inference.release.champion.read_release", fails)
    keeper._wishes.put(fails)
    until(lambda: len(ended) == 3, timeout_s=10, what="three threads end the process")
    assert sorted(ended) == [
        f"E_INTERNAL 70 thread {name}" for name in ("champion-watch", "policy-watch", "release-keeper")
    ]
    policies.close()
    models.close()


def test_a_watchdog_whose_call_fails_ends_the_process(ended: list[str]) -> None:
    def fails() -> NoReturn:
        raise MemoryError

    dog = Watchdog(fails)
    with dog.watching(limit_s=0.0):
        until(lambda: ended == ["E_INTERNAL 70 thread watchdog"], timeout_s=10, what="the end")
