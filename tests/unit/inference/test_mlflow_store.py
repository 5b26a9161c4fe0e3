"""What is special to a registry in MLflow: several hosts, other hands in MLflow, MLflow away or damaged."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from prometheus_client import CollectorRegistry

from contracts.errors import ModelError
from inference.models.manifest import MANIFEST_FILE, RELEASE_FILE, Champion
from inference.models.model import Model, ModelName
from inference.release.canary import Breach
from inference.release.champion import ChampionWatch
from inference.release.keeper import ReleaseKeeper
from inference.release.live import LiveCanary
from inference.release.mirror import Mirror, MirroredStore, MirrorMetrics, MirrorWatch, adopt
from inference.release.mlflow_client import MlflowClient
from inference.release.mlflow_log import LEASE_MS, NumberedLog, Turns
from inference.release.mlflow_store import AUDIT, FILES, FILES_FOLDER, ROOT, VERSION, MlflowStore
from inference.release.registry import Registry
from inference.release.registry_store import FolderStore, RegistryStore
from inference.release.release import Canary, Release, read_release
from inference.release.settings import CanarySettings
from inference.release.signature import check_signature
from tests.unit.inference.stores import HAS_MLFLOW, WHY_NOT, file_of, mirrored, store, uri_in
from tests.unit.inference.support import StillClock
from tests.unit.inference.versions import CHANGE, add

if not HAS_MLFLOW:
    pytest.skip(WHY_NOT, allow_module_level=True)
ONE = Champion(name="fraud", version="0001-a", sha256="0" * 64)


def _host(record: Path, name: str) -> tuple[Path, MirroredStore]:
    """Return the models' folder and the store of a host that shares the MLflow of `record`."""
    models = record / name
    return models, mirrored(record, models)


def _client(models: Path) -> MlflowClient:
    return MlflowClient(uri_in(models))


def _away() -> str:
    """Return the URI of a server that is not there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def _runs(models: Path) -> dict[str, str]:
    tags: dict[str, str] = _client(models).ask("get_registered_model", ROOT).tags
    return tags


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def test_a_change_on_one_host_is_followed_on_the_other_versions_first(tmp_path: Path) -> None:
    (here, mine), (there, theirs) = _host(tmp_path, "here"), _host(tmp_path, "there")
    registry = Registry(here, mine)
    one, two = add(registry), add(registry, b"two")
    registry.promote(one, CHANGE)
    registry.promote(two, CHANGE, "canary", share_percent=5)
    assert not there.exists()
    assert theirs.mirror.follow() == registry.release()
    for version_id in (one, two):
        for file in ("model.txt", "golden.json", MANIFEST_FILE):
            assert (there / version_id / file).read_bytes() == (here / version_id / file).read_bytes()
    assert (there / RELEASE_FILE).read_bytes() == (here / RELEASE_FILE).read_bytes()
    Registry(there, theirs).retire("canary", CHANGE)
    assert read_release(here).canary is not None
    mine.mirror.look()
    assert read_release(here) == read_release(there) == registry.release()
    assert read_release(here).canary is None


def _count(record: Path, name: str, times: int) -> None:
    _, one = _host(record, name)
    for _ in range(times):
        with one.changing():
            revision = one.release().revision + 1
            one.record({"revision": revision, "who": name})
            one.put_release(Release(revision=revision))


def test_changes_of_two_hosts_follow_one_another_and_make_one_registry(tmp_path: Path) -> None:
    uri_in(tmp_path)
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=_count, args=(tmp_path, name, 10)) for name in ("here", "there")]
    for process in both:
        process.start()
    for process in both:
        process.join(100)
    assert [process.exitcode for process in both] == [0, 0]
    _, seen = _host(tmp_path, "elsewhere")
    assert seen.release().revision == 20
    assert [row["revision"] for row in seen.audit()] == list(range(1, 21))
    assert {row["who"] for row in seen.audit()} == {"here", "there"}


def test_a_revision_and_a_row_are_given_once_even_without_a_turn(tmp_path: Path) -> None:
    one, other = store("mlflow", tmp_path), store("mlflow", tmp_path)
    with one.changing():
        one.put_release(Release(revision=1, champion=ONE))
    for late in (1, 0):
        with pytest.raises(ModelError) as refused:
            other.put_release(Release(revision=late))
        assert refused.value.code == "E_RELEASE_CHANGED"
    assert other.release().champion == ONE
    rows = NumberedLog(_client(tmp_path), lambda: _runs(tmp_path)[AUDIT])
    rows.put(0, rows.prepare(b"{}"))
    with pytest.raises(ModelError, match="E_RELEASE_CHANGED"):
        rows.put(0, rows.prepare(b"{}"))
    assert len(one.audit()) == 1


def test_a_turn_whose_host_died_ends_after_its_lease_and_for_the_host_itself_at_once(tmp_path: Path) -> None:
    client, clock = _client(tmp_path), StillClock()
    run = client.new_run("turns")
    turns = Turns(client, lambda: run, clock)
    dead = turns.turn("dead host")
    dead.__enter__()
    with turns.turn("dead host"):
        pass
    turns.turn("dead host").__enter__()
    clock.at_ms += LEASE_MS + 1
    with turns.turn("another host"):
        pass


def test_who_is_in_service_is_seen_by_aliases(tmp_path: Path) -> None:
    registry = Registry(tmp_path, store("mirrored", tmp_path))
    one, two, three = (add(registry, text) for text in (b"one", b"two", b"three"))
    registry.promote(one, CHANGE)
    registry.promote(two, CHANGE, "canary", share_percent=5)
    registry.promote(three, CHANGE, "shadow")
    assert _aliases(tmp_path) == {"champion": one, "canary": two, "shadow-1": three}
    registry.promote(two, CHANGE)
    registry.retire(three, CHANGE)
    assert _aliases(tmp_path) == {"champion": two}
    registry.rollback(CHANGE)
    assert _aliases(tmp_path) == {"champion": one}


def _aliases(models: Path) -> dict[str, str]:
    found = _client(models).ask("get_registered_model", "fraud").aliases
    versions = {alias: _client(models).ask("get_model_version", "fraud", at) for alias, at in found.items()}
    return {alias: f"fraud/{version.tags[VERSION]}" for alias, version in versions.items()}


def test_what_others_keep_in_mlflow_is_passed_over_and_what_only_looks_like_ours_is_damaged(
    tmp_path: Path,
) -> None:
    registry, client = Registry(tmp_path, store("mirrored", tmp_path)), _client(tmp_path)
    one = add(registry)
    client.ask("create_registered_model", "churn")
    client.ask("create_model_version", "churn", "s3://somewhere/else")
    client.ask("create_model_version", "fraud", "s3://somewhere/else")
    assert [entry.id for entry in registry.entries()] == [one]
    version = one.partition("/")[2]
    client.ask("create_model_version", "fraud", "s3://somewhere/else", tags={VERSION: version})
    client.ask("create_model_version", "fraud", "s3://somewhere/else", tags={VERSION: "0002-hand"})
    client.ask("create_model_version", "churn", "s3://somewhere/else", tags={VERSION: "../up", FILES: "no"})
    registry.promote(one, CHANGE)
    assert {entry.id: entry.stage for entry in registry.entries()} == {
        "churn/../up": "damaged", one: "champion", "fraud/0002-hand": "damaged",
    }  # fmt: skip
    with pytest.raises(ModelError):
        registry.promote("fraud/0002-hand", CHANGE)
    assert not (tmp_path / "fraud" / "0002-hand").exists()
    assert add(registry, b"next").startswith("fraud/0003-")


def test_a_damaged_artifact_is_refused_and_never_mirrored(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "here", _host(tmp_path, "here")[1])
    one, two = add(registry), add(registry, b"two")
    registry.promote(one, CHANGE)
    file_of("mirrored", tmp_path, two, "model.txt").write_bytes(b"damaged")
    there, theirs = _host(tmp_path, "there")
    assert theirs.mirror.follow().champion == registry.find(one).pointer
    assert (there / one).exists()
    assert not (there / two).exists()
    with pytest.raises(ModelError, match="E_MODEL_HASH"):
        registry.promote(two, CHANGE)
    file_of("mirrored", tmp_path, two, "model.txt").unlink()
    with pytest.raises(ModelError, match=r"E_MODEL_FILE.*gone from the artifacts"):
        registry.promote(two, CHANGE)


def test_a_release_that_names_what_cannot_be_had_does_not_reach_the_folder(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "here", _host(tmp_path, "here")[1])
    one, two = add(registry), add(registry, b"two")
    registry.promote(one, CHANGE)
    there, theirs = _host(tmp_path, "there")
    theirs.mirror.follow()
    (there / two / "model.txt").write_bytes(b"damaged here")
    file_of("mirrored", tmp_path, two, "golden.json").write_bytes(b"damaged there")
    with theirs.changing():
        theirs.put_release(Release(revision=2, champion=registry.find(two).pointer))
    with pytest.raises(ModelError, match="E_MODEL_HASH"):
        theirs.mirror.follow()
    assert read_release(there).revision == 1


def test_a_version_that_was_damaged_here_is_brought_again_before_a_release_names_it(tmp_path: Path) -> None:
    registry = Registry(tmp_path, store("mirrored", tmp_path))
    one = add(registry)
    (tmp_path / one / "model.txt").write_bytes(b"damaged")
    registry.promote(one, CHANGE)
    assert (tmp_path / one / "model.txt").read_bytes() == b"tree"
    assert read_release(tmp_path).revision == 1


def test_a_release_or_a_row_whose_artifact_is_gone_has_its_code(tmp_path: Path) -> None:
    one = store("mlflow", tmp_path)
    with one.changing():
        one.record({"why": "x" * 5000})
        one.record({"why": "short"})
        one.put_release(Release(revision=1, champion=ONE))
    assert [len(row["why"]) for row in one.audit()] == [5000, 5]
    for entry in (tmp_path / ".mlflow" / "artifacts").rglob("entry.json"):
        entry.unlink()
    seen = store("mlflow", tmp_path)
    with pytest.raises(ModelError, match="E_MODEL_RELEASE"):
        seen.release()
    assert [row["why"] for row in seen.audit()] == ["short"]


def test_releases_are_signed_as_in_the_folder(tmp_path: Path) -> None:
    registry = Registry(tmp_path, store("mirrored", tmp_path, "ours"))
    registry.promote(add(registry), CHANGE)
    check_signature(read_release(tmp_path), "ours", "here")
    assert store("mirrored", tmp_path, "ours").release() == registry.release()
    with pytest.raises(ModelError, match="E_MODEL_SIGNATURE"):
        store("mirrored", tmp_path, "theirs").release()


class _Heard:
    def __init__(self) -> None:
        self.live: list[str] = []
        self.refused: list[ModelError] = []

    def model_live(self, identity: object) -> None:
        self.live.append(str(identity))

    def model_refused(self, error: ModelError) -> None:
        self.refused.append(error)


def test_mlflow_away_is_told_once_and_stops_no_scorer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = Registry(tmp_path, store("mirrored", tmp_path))
    registry.promote(add(registry), CHANGE)
    heard, loaded = _Heard(), list[str]()
    watch = ChampionWatch(tmp_path, _loader(loaded), heard)
    watch.look()
    metrics = CollectorRegistry()
    gone = MlflowStore(_away(), tmp_path)
    mirror = MirrorWatch(Mirror(gone, tmp_path), MirrorMetrics(metrics))
    for _ in range(3):
        mirror.look()
        watch.look()
    assert loaded == [registry.find("champion").id]
    assert watch.current() is not None
    assert heard.refused == []
    assert metrics.get_sample_value("headrace_mirror_looks_total", {"outcome": "failed"}) == 3
    assert capsys.readouterr().out.count("code=E_MODEL_REGISTRY") == 1
    for what in (gone.versions, gone.release, gone.audit, lambda: add(Registry(tmp_path, gone))):
        with pytest.raises(ModelError) as refused:
            what()
        assert refused.value.code == "E_MODEL_REGISTRY"


def _loader(loaded: list[str]) -> Callable[[Champion], Model]:
    class Loaded:
        def __init__(self, pointer: Champion) -> None:
            self.identity = ModelName(pointer.name, pointer.version, "champion", pointer.sha256)

    def load(pointer: Champion) -> Model:
        loaded.append(pointer.id)
        return Loaded(pointer)  # type: ignore[return-value]

    return load


class _Switched:
    """A record that is away until somebody plugs it in."""

    def __init__(self, now: RegistryStore) -> None:
        self.now = now

    def __getattr__(self, name: str) -> object:
        return getattr(self.now, name)


def test_a_scorer_withdraws_its_canary_in_mlflow_once_mlflow_is_back(tmp_path: Path) -> None:
    registry = Registry(tmp_path, store("mirrored", tmp_path))
    one, two = add(registry), add(registry, b"two")
    registry.promote(one, CHANGE)
    canary = registry.promote(two, CHANGE, "canary", share_percent=5)
    record = _Switched(MirroredStore(MlflowStore(_away(), tmp_path), tmp_path))
    keeper = ReleaseKeeper(tmp_path, "scorer-0", CanarySettings(), StillClock(), record)  # type: ignore[arg-type]
    live = LiveCanary(_named(canary.pointer), 5.0, CHANGE.at_ms)
    keeper.withdraw(live, Breach("psi", 1.0, 0.25, 200))
    wish = keeper._wishes.get()
    assert wish is not None
    keeper._attempt([wish])
    assert read_release(tmp_path).canary is not None
    record.now = store("mirrored", tmp_path)
    keeper._attempt(keeper._waiting)
    assert keeper._waiting == []
    assert registry.release().canary is None
    assert read_release(tmp_path) == registry.release()
    assert registry.audit()[-1]["action"] == "canary_withdrawn"


def _named(pointer: Champion) -> Model:
    class Named:
        identity = pointer

    return Named()  # type: ignore[return-value]


def test_a_crash_between_mlflow_and_the_folder_is_made_good_by_the_next_look(tmp_path: Path) -> None:
    registry = Registry(tmp_path, store("mirrored", tmp_path))
    one = add(registry)
    code = (
        "import sys; from pathlib import Path; from tests.unit.inference import registry_that_dies as dying\n"
        f"sys.argv = ['', 'mirrored', {str(tmp_path)!r}, 'champion', {one!r}]; dying.main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], timeout=60, capture_output=True,
        env={**os.environ, "HEADRACE_CRASH_AT": "mirror.before_release:1"},
    )  # fmt: skip
    assert ended.returncode == -signal.SIGKILL
    assert registry.find("champion").id == one
    assert read_release(tmp_path) == Release()
    MirroredStore(store("mlflow", tmp_path), tmp_path).mirror.look()
    assert read_release(tmp_path) == registry.release()
    assert all(row["took_effect"] for row in registry.audit())


def test_a_folder_that_is_ahead_of_mlflow_is_not_overwritten_and_can_be_adopted(tmp_path: Path) -> None:
    before = Registry(tmp_path)
    one, two = add(before), add(before, b"two")
    before.promote(one, CHANGE)
    before.promote(two, CHANGE)
    record = store("mlflow", tmp_path)
    with pytest.raises(ModelError, match=r"E_MODEL_MIRROR.*revision 2 here, 0 in the record.*--adopt"):
        Mirror(record, tmp_path).follow()
    assert read_release(tmp_path).revision == 2
    assert adopt(FolderStore(tmp_path), record) == 2
    after = Registry(tmp_path, store("mirrored", tmp_path))
    assert after.release() == before.release()
    assert after.audit() == before.audit()
    assert after.entries() == before.entries()
    assert after.rollback(CHANGE).id == one
    assert before.release().revision == 3
    with pytest.raises(ModelError, match="E_MODEL_MIRROR"):
        adopt(FolderStore(tmp_path), record)


def test_without_its_client_mlflow_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    with pytest.raises(ModelError, match=r"E_MODEL_REGISTRY.*headrace\[mlflow\]"):
        MlflowStore("http://127.0.0.1:1", tmp_path).versions()


def test_every_file_of_a_version_is_an_artifact_with_its_digest(tmp_path: Path) -> None:
    registry, client = Registry(tmp_path, store("mlflow", tmp_path)), _client(tmp_path)
    one = add(registry)
    version = client.ask("get_model_version", "fraud", "1")
    manifest = registry.manifest(registry.find(one))
    assert orjson.loads(version.tags[FILES]) == {
        **manifest["sha256"], MANIFEST_FILE: registry.find(one).sha256,
    }  # fmt: skip
    assert version.source.endswith(f"/{FILES_FOLDER}")
    assert client.download(version.run_id, f"{FILES_FOLDER}/model.txt") == b"tree"


def test_a_canary_survives_as_it_was_said(tmp_path: Path) -> None:
    one = store("mlflow", tmp_path)
    canary = Canary(model=ONE, share_percent=2.5, since_ms=7)
    release = Release(revision=1, champion=ONE, canary=canary, shadows=(ONE,), retired=("a/b",))
    with one.changing():
        one.put_release(release)
    assert store("mlflow", tmp_path).release() == release
