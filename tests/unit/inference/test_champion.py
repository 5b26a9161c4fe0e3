"""A new champion is taken up whole or not at all; the present one stays whatever is wrong with the next."""

import json
import re
from pathlib import Path

import lightgbm
import numpy as np
import pytest

from contracts.errors import ModelError
from features.catalog import DEFINITIONS_HASH, SERVICE
from inference.champion import ChampionWatch, Definitions, load_champion
from inference.manifest import Champion, digest
from inference.model import LightGbmModel, ModelName
from tests.unit.inference.support import promote, trained_text, write_model

DEFINITIONS = Definitions(DEFINITIONS_HASH, SERVICE.columns)
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
    for _ in range(61):
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
    monkeypatch.setattr("inference.champion.try_model", lambda text, _golden: tried.append(text))
    _load(tmp_path, champion)
    assert tried == []
    other = Champion(name="fraud", version="2", sha256=write_model(tmp_path, "2", OTHER))
    _load(tmp_path, other)
    assert tried == [OTHER]
