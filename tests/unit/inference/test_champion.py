"""A new champion is taken up whole or not at all; the present one stays whatever is wrong with the next."""

import json
import re
from pathlib import Path

import lightgbm
import numpy as np
import pytest

from contracts.errors import ModelError
from inference.models.manifest import Champion, digest
from inference.models.model import LightGbmModel, ModelName
from inference.release.champion import LOOKS_TO_RETRY, ChampionWatch, Definitions, load_champion
from inference.release.live import id_of
from inference.release.registry import Registry
from load.this_project import DEFINITIONS_HASH, PROJECT, SERVICE
from tests.unit.inference.support import promote, trained_text, write_model
from tests.unit.inference.versions import CHANGE

DEFINITIONS = Definitions(DEFINITIONS_HASH, SERVICE.columns, decisions=PROJECT.decisions.names)
TEXT = trained_text(trees=5, leaves=7)
OTHER = trained_text(trees=5, leaves=7, seed=2)


class Heard:
    """What the watch told."""

    def __init__(self) -> None:
        self.live: list[str] = []
        self.refused: list[str] = []

    def model_live(self, identity: ModelName) -> None:
        """Note the version."""
        self.live.append(identity.version)

    def model_refused(self, error: ModelError) -> None:
        """Note the code."""
        self.refused.append(error.code)


def _load(models: Path, champion: Champion) -> LightGbmModel:
    return load_champion(models, champion, DEFINITIONS)


def _refusal(models: Path, champion: Champion) -> str:
    with pytest.raises(ModelError) as refused:
        _load(models, champion)
    return refused.value.code


def test_a_whole_version_scores_as_it_was_trained(tmp_path: Path) -> None:
    model = _load(tmp_path, Champion(name="fraud", version="1", sha256=write_model(tmp_path, "1", TEXT)))
    vectors = np.random.default_rng(3).gamma(2.0, 3.0, (50, len(SERVICE.columns)))
    assert np.array_equal(model.predict(vectors), lightgbm.Booster(model_str=TEXT).predict(vectors))
    assert model.identity == ModelName("fraud", "1", "champion", digest(TEXT.encode()))


def test_each_disagreement_has_its_code(tmp_path: Path) -> None:
    def champion(version: str, text: str = TEXT, **fields: object) -> Champion:
        return Champion(name="fraud", version=version, sha256=write_model(tmp_path, version, text, **fields))  # type: ignore[arg-type]

    good = champion("good")
    assert _refusal(tmp_path, Champion(name="fraud", version="good", sha256="0" * 64)) == "E_MODEL_HASH"
    assert _refusal(tmp_path, Champion(name="fraud", version="none", sha256="0" * 64)) == "E_MODEL_FILE"
    assert _refusal(tmp_path, Champion(name="..", version="x", sha256="0" * 64)) == "E_MODEL_PATH"
    assert _refusal(tmp_path, champion("a", definitions_hash="other")) == "E_MODEL_DEFINITIONS"
    assert _refusal(tmp_path, champion("b", features=["x"])) == "E_MODEL_FEATURES"
    assert _refusal(tmp_path, champion("c", name="z")) == "E_MODEL_MANIFEST"
    assert _refusal(tmp_path, champion("d", thresholds={"review": 2, "decline": 1})) == "E_MODEL_MANIFEST"
    assert _refusal(tmp_path, champion("e", sha256={"model.txt": "0" * 64})) == "E_MODEL_FORMAT"
    assert _refusal(tmp_path, champion("f", golden_text=OTHER)) == "E_MODEL_GOLDEN"
    (tmp_path / "fraud" / "good" / "model.txt").write_text(TEXT + "\n")
    assert _refusal(tmp_path, good) == "E_MODEL_HASH"
    (tmp_path / "fraud" / "good" / "model.txt").unlink()
    (tmp_path / "fraud" / "good" / "model.txt").symlink_to(tmp_path / "elsewhere")
    assert _refusal(tmp_path, good) == "E_MODEL_PATH"


def test_one_digit_of_a_leaf_changed_under_right_hashes_is_found_by_the_golden_rows(tmp_path: Path) -> None:
    changed = re.sub(r"(leaf_value=-?\d+\.)(\d)", lambda m: f"{m[1]}{(int(m[2]) + 1) % 10}", TEXT, count=1)
    sha256 = write_model(tmp_path, "1", changed, golden_text=TEXT)
    assert _refusal(tmp_path, Champion(name="fraud", version="1", sha256=sha256)) == "E_MODEL_GOLDEN"


def test_the_watch_keeps_the_present_model_when_the_next_is_refused(tmp_path: Path) -> None:
    heard = Heard()
    watch = ChampionWatch(tmp_path, lambda champion: _load(tmp_path, champion), heard)
    watch.look()
    assert watch.current() is None
    promote(tmp_path, "1", write_model(tmp_path, "1", TEXT))
    watch.look()
    present = watch.current()
    promote(tmp_path, "2", write_model(tmp_path, "2", TEXT[:-5000], golden_text=TEXT))
    for _ in range(3):
        watch.look()
    assert watch.current() is present
    (tmp_path / "champion.json").write_text("{")
    watch.look()
    assert watch.current() is present
    sha256_1 = digest((tmp_path / "fraud" / "1" / "manifest.json").read_bytes())
    promote(tmp_path, "1", sha256_1)
    watch.look()
    assert heard.live == ["1", "1"]
    assert heard.refused == ["E_MODEL_STRUCTURE", "E_MODEL_CHAMPION"]


def test_a_refused_version_is_tried_again_after_a_while(tmp_path: Path) -> None:
    heard = Heard()
    tries: list[str] = []

    def failing_once(champion: Champion) -> LightGbmModel:
        tries.append(champion.version)
        if len(tries) == 1:
            raise ModelError("E_MODEL_TIMEOUT", "the machine was busy")
        return _load(tmp_path, champion)

    watch = ChampionWatch(tmp_path, failing_once, heard)
    promote(tmp_path, "1", write_model(tmp_path, "1", TEXT))
    for _ in range(LOOKS_TO_RETRY + 1):
        watch.look()
    assert (heard.refused, heard.live) == (["E_MODEL_TIMEOUT"], ["1"])


def test_golden_rows_that_are_no_rows_are_refused(tmp_path: Path) -> None:
    for number, golden in enumerate(
        [b"{", b'{"vectors": [], "scores": []}', b'{"vectors": [[1.0]], "scores": [1]}']
    ):
        version = str(number)
        write_model(tmp_path, version, TEXT)
        folder = tmp_path / "fraud" / version
        (folder / "golden.json").write_bytes(golden)
        manifest = json.loads((folder / "manifest.json").read_bytes())
        manifest["sha256"]["golden.json"] = digest(golden)
        data = json.dumps(manifest).encode()
        (folder / "manifest.json").write_bytes(data)
        champion = Champion(name="fraud", version=version, sha256=digest(data))
        assert _refusal(tmp_path, champion) == "E_MODEL_GOLDEN"


def test_a_restart_does_not_wait_for_a_trial_that_was_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = Champion(name="fraud", version="1", sha256=write_model(tmp_path, "1", TEXT))
    _load(tmp_path, champion)
    tried: list[str] = []
    monkeypatch.setattr("inference.release.champion.try_model", lambda text, _golden: tried.append(text))
    _load(tmp_path, champion)
    assert tried == []
    other = Champion(name="fraud", version="2", sha256=write_model(tmp_path, "2", OTHER))
    _load(tmp_path, other)
    assert tried == [OTHER]


def _watch(models: Path, heard: Heard, loaded: list[str] | None = None) -> ChampionWatch:
    def load(champion: Champion) -> LightGbmModel:
        if loaded is not None:
            loaded.append(champion.version)
        return _load(models, champion)

    return ChampionWatch(models, load, heard)


def test_champion_canary_and_shadows_are_taken_up_together_under_their_stages(tmp_path: Path) -> None:
    registry, heard = Registry(tmp_path), Heard()
    for version, text in (("1", TEXT), ("2", OTHER), ("3", OTHER)):
        write_model(tmp_path, version, text)
    registry.promote("fraud/1", CHANGE)
    registry.promote("fraud/2", CHANGE, "canary", share_percent=5)
    registry.promote("fraud/3", CHANGE, "shadow")
    watch = _watch(tmp_path, heard)
    watch.look()
    live = watch.live()
    assert live.champion is watch.current()
    assert live.canary is not None
    assert (id_of(live.canary.model), live.canary.share_percent) == ("fraud/2", 5.0)
    assert [model.identity[:3] for model in live.shadows] == [("fraud", "3", "shadow")]
    assert live.canary.model.identity.stage == "canary"
    assert heard.live == ["1"], "only champions are told"
    registry.promote("fraud/2", CHANGE)
    watch.look()
    assert (watch.live().canary, id_of(watch.current())) == (None, "fraud/2")  # type: ignore[arg-type]
    assert watch.current().identity.stage == "champion"  # type: ignore[union-attr]


def test_a_rollback_has_nothing_to_load(tmp_path: Path) -> None:
    registry, loaded = Registry(tmp_path), list[str]()
    for version, text in (("1", TEXT), ("2", OTHER)):
        write_model(tmp_path, version, text)
    watch = _watch(tmp_path, Heard(), loaded)
    for version in ("1", "2"):
        registry.promote(f"fraud/{version}", CHANGE)
        watch.look()
    registry.rollback(CHANGE)
    watch.look()
    assert id_of(watch.current()) == "fraud/1"  # type: ignore[arg-type]
    assert loaded == ["1", "2"]


def test_a_scorer_that_has_just_started_is_ready_to_roll_back(tmp_path: Path) -> None:
    registry, loaded = Registry(tmp_path), list[str]()
    for version, text in (("1", TEXT), ("2", OTHER)):
        write_model(tmp_path, version, text)
        registry.promote(f"fraud/{version}", CHANGE)
    watch = _watch(tmp_path, Heard(), loaded)
    watch.look()
    assert loaded == ["2"], "the start waits for nobody who does not decide"
    watch.look()
    registry.rollback(CHANGE)
    watch.look()
    assert id_of(watch.current()) == "fraud/1"  # type: ignore[arg-type]
    assert loaded == ["2", "1"], "it was loaded before it was asked for"


def test_a_champion_before_that_is_damaged_harms_nobody(tmp_path: Path) -> None:
    registry, heard, loaded = Registry(tmp_path), Heard(), list[str]()
    for version in ("1", "2"):
        write_model(tmp_path, version, TEXT)
        registry.promote(f"fraud/{version}", CHANGE)
    (tmp_path / "fraud" / "1" / "model.txt").unlink()
    watch = _watch(tmp_path, heard, loaded)
    for _ in range(4):
        watch.look()
    assert (heard.live, heard.refused, loaded) == (["2"], [], ["2", "1"])


def test_a_refused_canary_or_shadow_is_left_out_and_the_rest_is_taken_up(tmp_path: Path) -> None:
    registry, heard = Registry(tmp_path), Heard()
    write_model(tmp_path, "1", TEXT)
    write_model(tmp_path, "2", TEXT[:-5000], golden_text=TEXT)
    write_model(tmp_path, "3", OTHER)
    registry.promote("fraud/1", CHANGE)
    registry.promote("fraud/2", CHANGE, "canary")
    registry.promote("fraud/3", CHANGE, "shadow")
    watch = _watch(tmp_path, heard)
    for _ in range(3):
        watch.look()
    assert (watch.live().canary, len(watch.live().shadows)) == (None, 1)
    assert (heard.live, heard.refused) == (["1"], ["E_MODEL_STRUCTURE"])


def test_a_release_from_before_the_one_in_force_is_refused(tmp_path: Path) -> None:
    registry, heard = Registry(tmp_path), Heard()
    for version, text in (("1", TEXT), ("2", OTHER)):
        write_model(tmp_path, version, text)
    registry.promote("fraud/1", CHANGE)
    old = (tmp_path / "release.json").read_bytes()
    registry.promote("fraud/2", CHANGE)
    watch = _watch(tmp_path, heard)
    watch.look()
    for damaged in (old, b"{", b"[]"):
        (tmp_path / "release.json").write_bytes(damaged)
        watch.look()
    (tmp_path / "release.json").unlink()
    watch.look()
    assert id_of(watch.current()) == "fraud/2"  # type: ignore[arg-type]
    assert heard.refused == ["E_MODEL_ROLLBACK", "E_MODEL_RELEASE", "E_MODEL_RELEASE", "E_MODEL_ROLLBACK"]
    assert heard.live == ["2"]
