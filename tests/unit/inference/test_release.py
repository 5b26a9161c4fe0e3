"""The moves of a release: each leads to exactly one champion or none, and what cannot be is refused."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import ModelError
from inference.models.manifest import Champion, read_champion
from inference.release.release import SHADOWS_MAX, Canary, Release, read_release


def pointer(version: str) -> Champion:
    return Champion(name="fraud", version=version, sha256=version * 2)


def canary(version: str, share_percent: float = 5.0) -> Canary:
    return Canary(model=pointer(version), share_percent=share_percent, since_ms=1)


def test_a_version_goes_from_shadow_to_canary_to_champion_and_retires() -> None:
    release = Release().champion_is(pointer("1"))
    release = release.shadow_is(pointer("2"))
    assert release.stage_of("fraud/2") == "shadow"
    release = release.canary_is(canary("2"))
    assert (release.stage_of("fraud/2"), release.shadows) == ("canary", ())
    release = release.champion_is(pointer("2"))
    assert (release.stage_of("fraud/2"), release.canary) == ("champion", None)
    assert (release.stage_of("fraud/1"), release.history) == ("retired", (pointer("1"),))


def test_rollback_takes_back_one_champion_at_a_time() -> None:
    release = Release()
    for version in "123":
        release = release.champion_is(pointer(version))
    back = release.rolled_back()
    assert (back.champion, back.stage_of("fraud/3")) == (pointer("2"), "retired")
    assert back.rolled_back().champion == pointer("1")
    with pytest.raises(ModelError, match="E_MODEL_ROLLBACK"):
        back.rolled_back().rolled_back()


def test_the_champion_again_is_no_second_champion() -> None:
    release = Release().champion_is(pointer("1")).champion_is(pointer("1"))
    assert release.history == ()


def test_what_cannot_be_is_refused() -> None:
    release = Release().champion_is(pointer("1")).canary_is(canary("2"))
    refused = [
        lambda: Release().canary_is(canary("1")),
        lambda: release.canary_is(canary("1")),
        lambda: release.canary_is(canary("3")),
        lambda: release.shadow_is(pointer("1")),
        lambda: release.shadow_is(pointer("2")),
        lambda: release.is_retired("fraud/1"),
    ]
    for move in refused:
        with pytest.raises(ModelError) as told:
            move()
        assert told.value.code == "E_RELEASE_STAGE"
    for number in range(SHADOWS_MAX):
        release = release.shadow_is(pointer(f"s{number}"))
    with pytest.raises(ModelError, match="E_RELEASE_STAGE"):
        release.shadow_is(pointer("one more"))
    assert release.shadow_is(pointer("s0")).stage_of("fraud/s0") == "shadow"


def test_a_larger_share_is_the_same_canary() -> None:
    release = Release().champion_is(pointer("1")).canary_is(canary("2", 1)).canary_is(canary("2", 50))
    assert release.canary is not None
    assert release.canary.share_percent == 50


NOBODY = b'{"name": "", "version": "", "sha256": ""}'
MOVES = st.lists(
    st.tuples(
        st.sampled_from(["shadow", "canary", "champion", "retire", "rollback"]), st.sampled_from("123")
    ),
    max_size=25,
)


@given(MOVES)
def test_whatever_is_done_every_version_has_one_stage_and_the_champion_stays_one(
    moves: list[tuple[str, str]],
) -> None:
    release, had_champion = Release(), False
    for what, version in moves:
        try:
            release = {
                "shadow": lambda r=release, v=version: r.shadow_is(pointer(v)),
                "canary": lambda r=release, v=version: r.canary_is(canary(v)),
                "champion": lambda r=release, v=version: r.champion_is(pointer(v)),
                "retire": lambda r=release, v=version: r.is_retired(f"fraud/{v}"),
                "rollback": lambda r=release: r.rolled_back(),
            }[what]()
        except ModelError:
            continue
        assert not had_champion or release.champion is not None, "nothing takes the champion away"
        had_champion = release.champion is not None
        named = [*release.shadows, *([release.champion] if release.champion else [])]
        named += [release.canary.model] if release.canary else []
        ids = [one.id for one in named]
        assert len(ids) == len(set(ids)), "a version in two stages"
        assert not set(ids) & set(release.retired)
        assert len(release.retired) == len(set(release.retired))
        assert msgspec.json.decode(msgspec.json.encode(release), type=Release) == release


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"revision": "x"}', b'{"champion": {"name": "fraud"}}',
        b'{"canary": {"model": {"name": "f", "version": "1", "sha256": ""}, "share_percent": 0}}',
        b'{"canary": {"share_percent": -1, "since_ms": 1, "model": %b}}' % NOBODY,
        b'{"shadows": [1]}',
    ],
)  # fmt: skip
def test_a_release_that_is_none_has_its_code(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "release.json").write_bytes(data)
    with pytest.raises(ModelError) as refused:
        read_release(tmp_path)
    assert refused.value.code == "E_MODEL_RELEASE"


def test_a_registry_from_before_has_its_champion(tmp_path: Path) -> None:
    (tmp_path / "champion.json").write_bytes(msgspec.json.encode(pointer("1")))
    assert read_release(tmp_path) == Release(champion=pointer("1"))
    (tmp_path / "release.json").write_bytes(msgspec.json.encode(Release(champion=pointer("2"))))
    assert read_champion(tmp_path) == pointer("2"), "the release is what counts once it is there"
