"""What every back end of a registry must do: the suite of the port, over all of them."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.errors import ModelError
from inference.models.manifest import MANIFEST_FILE, Champion
from inference.release.registry import Registry
from inference.release.registry_store import RegistryStore
from inference.release.release import Release
from tests.unit.inference.stores import KINDS, store
from tests.unit.inference.versions import CHANGE, add

FILES = {MANIFEST_FILE: b"{}", "model.txt": b"\x00tree\n", "golden.json": b"{}"}
ONE = Champion(name="fraud", version="0001-a", sha256="0" * 64)


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], RegistryStore]:
    """Return what opens the store; twice is as two processes see it."""
    return lambda: store(request.param, tmp_path)


def test_an_empty_store_has_nothing(make: Callable[[], RegistryStore]) -> None:
    one = make()
    assert (one.versions(), one.audit(), one.release()) == ([], [], Release())


def test_a_version_is_read_as_it_was_added_by_whoever_looks(make: Callable[[], RegistryStore]) -> None:
    one, other = make(), make()
    with one.changing():
        one.add("fraud", "0001-a", FILES)
        one.add("fraud", "0002-b", FILES)
        one.add("another", "0001-a", FILES)
    assert other.versions() == [("another", "0001-a"), ("fraud", "0001-a"), ("fraud", "0002-b")]
    for name, data in FILES.items():
        assert other.read("fraud", "0001-a", name) == data


@pytest.mark.parametrize(
    ("name", "version", "file", "code"),
    [
        ("fraud", "0009-x", "model.txt", "E_MODEL_FILE"), ("fraud", "0001-a", "none", "E_MODEL_FILE"),
        ("..", "0001-a", "model.txt", "E_MODEL_PATH"), ("fraud", "../../etc", "passwd", "E_MODEL_PATH"),
    ],
)  # fmt: skip
def test_what_is_not_there_has_its_code(
    make: Callable[[], RegistryStore], name: str, version: str, file: str, code: str
) -> None:
    one = make()
    with one.changing():
        one.add("fraud", "0001-a", FILES)
    with pytest.raises(ModelError) as refused:
        one.read(name, version, file)
    assert refused.value.code == code


def test_a_release_replaces_the_one_before_whole(make: Callable[[], RegistryStore]) -> None:
    one, other = make(), make()
    for revision in range(1, 4):
        history = tuple(Champion(name="fraud", version=f"{n:04d}-x", sha256="f" * 64) for n in range(90))
        release = Release(revision=revision, champion=ONE, history=history, change={"who": "ü"})
        with one.changing():
            one.put_release(release)
        assert other.release() == release


def test_the_audit_keeps_its_order(make: Callable[[], RegistryStore]) -> None:
    one, other = make(), make()
    rows = [{"action": "add", "id": f"fraud/{n}", "why": "ü\n" * n} for n in range(12)]
    for row in rows:
        with one.changing():
            one.record(row)
    assert other.audit() == rows


def test_the_registry_goes_through_its_whole_life_on_it(
    make: Callable[[], RegistryStore], tmp_path: Path
) -> None:
    registry = Registry(tmp_path, make())
    one, two = add(registry), add(registry, b"two")
    registry.promote(one, CHANGE)
    registry.promote(two, CHANGE, "shadow")
    registry.promote(two, CHANGE, "canary", share_percent=5)
    registry.promote(two, CHANGE)
    assert registry.rollback(CHANGE).id == one
    seen = Registry(tmp_path, make())
    assert {entry.id: entry.stage for entry in seen.entries()} == {one: "champion", two: "retired"}
    assert all(row["took_effect"] for row in seen.audit())


def _count(kind: str, folder: Path, times: int) -> None:
    for _ in range(times):
        one = store(kind, folder)
        with one.changing():
            one.put_release(Release(revision=one.release().revision + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_changes_of_two_processes_follow_one_another(kind: str, tmp_path: Path) -> None:
    seen = store(kind, tmp_path)
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=_count, args=(kind, tmp_path, 20)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    assert seen.release().revision == 40
