"""Every way in which a model or a registry may be bad: a coded error, the old model stays live, nothing dies.

The rows are those of the bad-input corpus, 80 to 95. Digests are forged wherever damage would otherwise show
in them, so that what is behind the digests is what is tried; the digests themselves have rows of their own.
"""

import json
import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import lightgbm
import msgspec
import numpy as np
import pytest

from contracts.errors import ModelError
from inference.models.manifest import Golden, digest
from inference.models.model import Model
from inference.models.text import check_model_text
from inference.models.trial import Sandbox
from inference.release.champion import ChampionWatch, Definitions, load_champion
from inference.release.registry import Registry
from inference.release.registry_store import FolderStore
from inference.release.release import decode_release
from inference.release.signature import signed as sign
from load.this_project import DEFINITIONS_HASH, PROJECT, SERVICE
from tests.unit.inference.support import promote, trained_text, write_model
from tests.unit.inference.test_champion import Heard
from tests.unit.inference.versions import CHANGE

TEXT = trained_text(trees=5, leaves=7)
OTHER = trained_text(trees=5, leaves=7, seed=2)
LARGE = trained_text(trees=30, leaves=15, seed=3)
FEATURES = list(SERVICE.columns)
DEFINITIONS = Definitions(DEFINITIONS_HASH, SERVICE.columns, decisions=PROJECT.decisions.names)
ROWS = np.random.default_rng(11).gamma(2.0, 3.0, (2000, len(FEATURES)))
TRUNCATIONS, FLIPS = 50, 200


class Place:
    """A registry with a good champion that is live, where a bad version is offered."""

    def __init__(self, models: Path) -> None:
        self.models, self.heard = models, Heard()
        self.watch = ChampionWatch(models, lambda c: load_champion(models, c, DEFINITIONS), self.heard)
        promote(models, "good", write_model(models, "good", TEXT))
        self._good = (models / "champion.json").read_bytes()
        self.watch.look()
        self.scores = self._live().predict(ROWS)

    def offer(self, data: bytes, **manifest: object) -> str:
        """Promote a version with this text under right digests; return the refusal's code."""
        version = f"bad{len(list((self.models / 'fraud').iterdir()))}"
        write_model(self.models, version, TEXT)
        folder = self.models / "fraud" / version
        (folder / "model.txt").write_bytes(data)
        golden = (folder / "golden.json").read_bytes()
        about = json.loads((folder / "manifest.json").read_bytes()) | {
            "sha256": {"model.txt": digest(data), "golden.json": digest(golden)}
        } | manifest  # fmt: skip
        (folder / "manifest.json").write_text(json.dumps(about))
        return self.point({"name": "fraud", "version": version, "sha256": self.digest(version)})

    def digest(self, version: str) -> str:
        """Return the digest of a version's manifest."""
        return digest((self.models / "fraud" / version / "manifest.json").read_bytes())

    def point(self, pointer: object) -> str:
        """Make a pointer the champion's, by force, and the good one again; return the refusal's code."""
        data = pointer if isinstance(pointer, bytes) else json.dumps(pointer).encode()
        (self.models / "champion.json").write_bytes(data)
        before = len(self.heard.refused)
        self.watch.look()
        assert len(self.heard.refused) == before + 1, "the refusal is told, once"
        assert np.array_equal(self._live().predict(ROWS), self.scores), "the old model stays live"
        assert set(self.heard.live) == {"good"}
        (self.models / "champion.json").write_bytes(self._good)
        self.watch.look()
        return self.heard.refused[-1]

    def _live(self) -> Model:
        live = self.watch.current()
        assert live is not None
        return live


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("models"))


def _first(name: str, change: Callable[[list[str]], list[str]]) -> str:
    """Return the text with the first tree's list changed, tree_sizes put right."""
    old = re.search(rf"^{name}=(.*)$", TEXT, flags=re.MULTILINE)
    assert old is not None
    new = " ".join(change(old[1].split(" ")))
    text = TEXT.replace(old[0], f"{name}={new}", 1)
    sizes = re.search(r"^tree_sizes=(\d+)", text, flags=re.MULTILINE)
    assert sizes is not None
    return text.replace(sizes[0], f"tree_sizes={int(sizes[1]) + len(new) - len(old[1])}", 1)


def _without_sizes(text: str) -> str:
    return re.sub(r"^tree_sizes=.*\n", "", text, flags=re.MULTILINE)


STRUCTURE: dict[str, str] = {
    "80 empty": "",
    "82 garbage": np.random.default_rng(1).bytes(4000).decode("latin-1"),
    "83 last tree cut, sizes kept": TEXT[: TEXT.index("Tree=4")] + TEXT[TEXT.index("end of trees") :],
    "83 last tree cut, sizes removed": _without_sizes(
        TEXT[: TEXT.index("Tree=4")] + TEXT[TEXT.index("end of trees") :]
    ),
    "84 child out of range": _first("left_child", lambda c: ["99", *c[1:]]),
    "85 child cycle": _first("left_child", lambda c: ["0", *c[1:]]),
    "86 split_feature out of range": _first("split_feature", lambda c: ["9999", *c[1:]]),
    "87 leaf nan": _first("leaf_value", lambda c: ["nan", *c[1:]]),
    "87 leaf inf": _first("leaf_value", lambda c: ["-inf", *c[1:]]),
    "88 num_class 0": TEXT.replace("num_class=1", "num_class=0", 1),
    "89 version v99": TEXT.replace("version=v4", "version=v99", 1),
    "90 threshold text": _first("threshold", lambda c: ["abc", *c[1:]]),
    "91 huge num_leaves": _first("num_leaves", lambda _: ["2147483647"]),
    "91 num_leaves below 0": _first("num_leaves", lambda _: ["-1"]),
}


@pytest.mark.parametrize("row", STRUCTURE)
def test_a_damaged_text_is_refused_before_lightgbm_meets_it(place: Place, row: str) -> None:
    assert place.offer(STRUCTURE[row].encode("latin-1")) == "E_MODEL_STRUCTURE"


def test_80_to_91_a_digest_that_does_not_hold_is_found_first(place: Place) -> None:
    write_model(place.models, "cut", TEXT)
    (place.models / "fraud" / "cut" / "model.txt").write_bytes(TEXT.encode()[:100])
    assert place.point({"name": "fraud", "version": "cut", "sha256": place.digest("cut")}) == "E_MODEL_HASH"


def test_92_other_features_another_order_another_count(place: Place) -> None:
    names = " ".join(FEATURES)
    swapped = " ".join([FEATURES[1], FEATURES[0], *FEATURES[2:]])
    for text in (
        TEXT.replace(names, swapped), TEXT.replace(FEATURES[0], "something_else"),
        TEXT.replace(names, f"{names} more"), TEXT.replace(names, " ".join(FEATURES[:-1])),
    ):  # fmt: skip
        assert place.offer(text.encode()) == "E_MODEL_FEATURES"
    assert place.offer(TEXT.encode(), features=FEATURES[::-1]) == "E_MODEL_FEATURES"
    assert place.offer(TEXT.encode(), definitions_hash="0" * 16) == "E_MODEL_DEFINITIONS"


def test_93_golden_rows_with_other_scores(place: Place) -> None:
    assert place.offer(OTHER.encode()) == "E_MODEL_GOLDEN"


def test_94_a_pickle_or_another_format_is_never_loaded(
    place: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    witness = tmp_path_factory.mktemp("witness") / "ran"

    class Touches:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (witness,)

    assert place.offer(pickle.dumps(Touches())) == "E_MODEL_STRUCTURE"
    write_model(place.models, "pickled", TEXT)
    folder = place.models / "fraud" / "pickled"
    data = pickle.dumps(Touches())
    (folder / "model.pkl").write_bytes(data)
    about = json.loads((folder / "manifest.json").read_bytes())
    about["sha256"] = {"model.pkl": digest(data), "golden.json": about["sha256"]["golden.json"]}
    (folder / "manifest.json").write_text(json.dumps(about))
    pointer = {"name": "fraud", "version": "pickled", "sha256": place.digest("pickled")}
    assert place.point(pointer) == "E_MODEL_FORMAT"
    assert not witness.exists()


def _pointers(place: Place) -> Iterator[tuple[str, object, str]]:
    write_model(place.models, "next", OTHER)
    sha256 = place.digest("next")
    good = {"name": "fraud", "version": "next", "sha256": sha256}
    yield "wrong sha256", good | {"sha256": "0" * 64}, "E_MODEL_HASH"
    yield "no sha256", {"name": "fraud", "version": "next"}, "E_MODEL_CHAMPION"
    yield "not JSON", b"{", "E_MODEL_CHAMPION"
    yield "empty", b"", "E_MODEL_CHAMPION"
    yield "not UTF-8", b"\xff\xfe", "E_MODEL_CHAMPION"
    yield "a list", [good], "E_MODEL_CHAMPION"
    yield "a version that is not there", good | {"version": "none"}, "E_MODEL_FILE"
    for name in ("../../etc", "..", "/etc", "a/b", "", "http://example.org", ".hidden", "x" * 200, "a\0b"):
        yield f"name {name[:12]!r}", good | {"name": name}, "E_MODEL_PATH"
    yield "version up", good | {"version": "../../../etc/x"}, "E_MODEL_PATH"
    yield "version URL", good | {"version": "s3://bucket/x"}, "E_MODEL_PATH"


def test_95_pointers_that_lead_nowhere_or_elsewhere(place: Place) -> None:
    for what, pointer, code in _pointers(place):
        assert place.point(pointer) == code, what


def _manifests(place: Place) -> Iterator[tuple[str, dict[str, object], str]]:
    yield "another model's name", {"name": "other"}, "E_MODEL_MANIFEST"
    yield "no name", {"name": None}, "E_MODEL_MANIFEST"
    yield "thresholds the wrong way", {"thresholds": {"review": 0.9, "decline": 0.1}}, "E_MODEL_MANIFEST"
    yield "features no list", {"features": "amount"}, "E_MODEL_MANIFEST"
    yield "no digest of the golden rows", {"sha256": {"model.txt": digest(TEXT.encode())}}, "E_MODEL_FORMAT"
    golden = {"golden.json": "0" * 64}
    yield "wrong digest", {"sha256": {"model.txt": "0" * 64} | golden}, "E_MODEL_HASH"
    for name in ("../../etc/passwd", "/etc/passwd", "https://example.org/model.txt", ".hidden"):
        files = {name: "0" * 64, "model.txt": digest(TEXT.encode())} | golden
        yield f"file {name}", {"sha256": files}, "E_MODEL_PATH"


def test_95_manifests_that_say_what_is_not_so(place: Place) -> None:
    for what, manifest, code in _manifests(place):
        assert place.offer(TEXT.encode(), **manifest) == code, what


def test_95_a_link_for_a_file_or_a_folder(place: Place, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    write_model(outside, "linked", OTHER)
    (place.models / "fraud" / "linked").symlink_to(outside / "fraud" / "linked")
    pointer = {"name": "fraud", "version": "linked", "sha256": place.digest("linked")}
    assert place.point(pointer) == "E_MODEL_PATH"
    write_model(place.models, "file", OTHER)
    text = place.models / "fraud" / "file" / "model.txt"
    text.unlink()
    text.symlink_to(outside / "fraud" / "linked" / "model.txt")
    assert place.point({"name": "fraud", "version": "file", "sha256": place.digest("file")}) == "E_MODEL_PATH"


def test_95_a_signature_that_is_missing_or_of_another_key(tmp_path: Path) -> None:
    heard = Heard()
    watch = ChampionWatch(tmp_path, lambda c: load_champion(tmp_path, c, DEFINITIONS), heard, secret="ours")
    for version, text in (("1", TEXT), ("2", OTHER)):
        write_model(tmp_path, version, text)
    Registry(tmp_path, FolderStore(tmp_path, "ours")).promote("fraud/1", CHANGE)
    watch.look()
    signed = (tmp_path / "release.json").read_bytes()
    Registry(tmp_path).promote("fraud/2", CHANGE)
    unsigned = json.loads((tmp_path / "release.json").read_bytes())
    other = msgspec.json.encode(sign(decode_release(json.dumps(unsigned).encode(), ""), "theirs"))
    changed = json.dumps(unsigned | {"signature": json.loads(signed)["signature"]}).encode()
    for data in (json.dumps(unsigned | {"signature": ""}).encode(), other, changed):
        (tmp_path / "release.json").write_bytes(data)
        watch.look()
        live = watch.current()
        assert live is not None
        assert live.identity.version == "1"
        with pytest.raises(ModelError, match="E_MODEL_SIGNATURE"):
            Registry(tmp_path, FolderStore(tmp_path, "ours")).rollback(CHANGE)
    assert heard.refused == ["E_MODEL_SIGNATURE"] * 2, "not signed, and signed otherwise: each told once"
    (tmp_path / "release.json").write_bytes(signed)
    watch.look()
    assert heard.live == ["1"]


def test_a_version_that_is_refused_is_not_promoted_either(place: Place) -> None:
    registry = Registry(place.models)
    for name in ("model.txt", "golden.json"):  # (a link among the versions hides none of the others)
        write_model(place.models, f"no-{name}", TEXT)
        (place.models / "fraud" / f"no-{name}" / name).unlink()
        with pytest.raises(ModelError, match="E_MODEL_FILE"):
            registry.promote(f"fraud/no-{name}", CHANGE)
    assert registry.find("champion").id == "fraud/good"


def _golden(text: str, bound: bool) -> Golden:
    scores = np.asarray(lightgbm.Booster(model_str=text).predict(ROWS[:16], num_threads=1))
    return Golden(
        vectors=ROWS[:16].tolist(), scores=scores.tolist(), text_sha256=digest(text.encode()) if bound else ""
    )


def _taken(data: bytes, golden: Golden, sandbox: Sandbox) -> str:
    """Put a text through what a scorer puts it through; return the refusal's code, "" when it is taken."""
    try:
        check_model_text(data, FEATURES)
        if golden.text_sha256 not in ("", digest(data)):
            return "E_MODEL_GOLDEN"
        sandbox.attempt(data.decode(), golden, timeout_s=20)
    except ModelError as error:
        return error.code
    return ""


def test_81_50_truncations_are_all_refused() -> None:
    whole, golden = LARGE.rstrip("\n").encode(), _golden(LARGE, bound=False)
    with Sandbox() as sandbox:
        for kept in np.linspace(0, len(whole) - 1, TRUNCATIONS).astype(int).tolist():
            assert _taken(whole[:kept], golden, sandbox) == "E_MODEL_STRUCTURE", kept
        assert sandbox.started == 0, "none of them reaches LightGBM"
        assert _taken(LARGE.encode(), golden, sandbox) == "", "the whole one is taken"


def test_200_byte_flips_never_crash_and_never_change_a_score_unseen() -> None:
    """Without the golden rows' own digest of the text, one process tries all that the validator lets pass."""
    whole, chance = LARGE.encode(), np.random.default_rng(81)
    loose, bound = _golden(LARGE, bound=False), _golden(LARGE, bound=True)
    expected = lightgbm.Booster(model_str=LARGE).predict(ROWS, num_threads=1)
    codes: dict[str, int] = {}
    unseen = 0
    with Sandbox() as sandbox:
        for place in chance.choice(len(whole), FLIPS, replace=False).tolist():
            flipped = bytearray(whole)
            flipped[place] ^= int(chance.integers(1, 256))
            data = bytes(flipped)
            code = _taken(data, loose, sandbox)
            codes[code] = codes.get(code, 0) + 1
            assert code in ("", "E_MODEL_STRUCTURE", "E_MODEL_FEATURES", "E_MODEL_GOLDEN", "E_MODEL_LOAD")
            if code == "":
                unseen += not np.array_equal(
                    lightgbm.Booster(model_str=data.decode()).predict(ROWS), expected
                )
            assert _taken(data, bound, sandbox) != "", "a changed text is never taken for the trained one"
        assert sandbox.started <= 1, f"no flip ended the process: {codes}"
    assert codes["E_MODEL_STRUCTURE"] > FLIPS // 2
    assert unseen <= 2, "64 golden rows alone let almost nothing pass; their digest of the text lets nothing"


def test_the_sandbox_outlives_what_ends_it() -> None:
    """A text that makes LightGBM abort, crash or loop is refused, and the next trial goes on."""
    golden = _golden(TEXT, bound=False)
    half = TEXT[: len(TEXT) // 2]
    looping = _first("left_child", lambda c: ["0", *c[1:]])
    with Sandbox() as sandbox:
        sandbox.attempt(TEXT, golden)
        for text, codes in (
            (half, {"E_MODEL_CRASH", "E_MODEL_LOAD"}),
            (looping, {"E_MODEL_TIMEOUT", "E_MODEL_CRASH"}),
        ):
            with pytest.raises(ModelError) as refused:
                sandbox.attempt(text, golden, timeout_s=3)
            assert refused.value.code in codes
        sandbox.attempt(TEXT, golden)
        assert sandbox.started >= 2
