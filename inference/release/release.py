"""Which version does what in service: one value, and the moves that are allowed on it.

    <models>/release.json    {revision, champion, canary, shadows, history, retired, change, signature}

The file is replaced in one step, so at every moment it names exactly one champion or none, whatever
crashed. It also holds the champions before the present one, so that going back needs no other file. A move
takes a release and returns the next one; it neither reads nor writes.
"""

from pathlib import Path
from typing import Any, Literal

import msgspec

from contracts.errors import ModelError
from inference.models.manifest import NOT_JSON, RELEASE_FILE, Champion, read_champion, read_file

Stage = Literal["candidate", "shadow", "canary", "champion", "retired"]
SHADOWS_MAX = 4  # each costs a prediction of every event
HISTORY_MAX = 100


class Canary(msgspec.Struct, frozen=True, kw_only=True):
    """The version that decides for a share of the keys, and since when, epoch ms.

    >>> Canary(model=Champion(name="risk", version="2", sha256=""), share_percent=0, since_ms=0)
    Traceback (most recent call last):
    ValueError: a canary's share is above 0 and at most 100 percent, not 0
    """

    model: Champion
    share_percent: float
    since_ms: int

    def __post_init__(self) -> None:
        if not 0 < self.share_percent <= 100:
            raise ValueError(f"a canary's share is above 0 and at most 100 percent, not {self.share_percent}")


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """Who decides, who is tried, who was champion before (oldest first), who is retired.

    `revision` grows by one with every change; `change` says what the last one was, by whom and why;
    `signature` is there where releases are signed (`inference/release/signature.py`).

    >>> release = Release().champion_is(Champion(name="risk", version="1", sha256=""))
    >>> release.stage_of("risk/1"), release.stage_of("risk/2")
    ('champion', 'candidate')
    """

    revision: int = 0
    champion: Champion | None = None
    canary: Canary | None = None
    shadows: tuple[Champion, ...] = ()
    history: tuple[Champion, ...] = ()
    retired: tuple[str, ...] = ()
    change: dict[str, Any] = {}
    signature: str = ""

    @property
    def pointers(self) -> tuple[Champion, ...]:
        """Return who is in service, champion first."""
        champion = () if self.champion is None else (self.champion,)
        canary = () if self.canary is None else (self.canary.model,)
        return (*champion, *canary, *self.shadows)

    def stage_of(self, version_id: str) -> Stage:
        """Return a version's stage; who is not named is a candidate."""
        if self.champion is not None and self.champion.id == version_id:
            return "champion"
        if self.canary is not None and self.canary.model.id == version_id:
            return "canary"
        if any(shadow.id == version_id for shadow in self.shadows):
            return "shadow"
        return "retired" if version_id in self.retired else "candidate"

    def shadow_is(self, model: Champion) -> "Release":
        """Let a version score every event and decide none.

        Raises:
            ModelError: E_RELEASE_STAGE, it is champion or canary, or there are as many shadows as may be.
        """
        stage = self.stage_of(model.id)
        if stage in ("champion", "canary"):
            raise _refused(f"{model.id} is {stage}", "retire the canary, or promote another champion first")
        if stage != "shadow" and len(self.shadows) >= SHADOWS_MAX:
            raise _refused(f"{SHADOWS_MAX} shadows are there already", "retire one of them first")
        others = tuple(shadow for shadow in self.shadows if shadow.id != model.id)
        return self._with(model.id, shadows=(*others, model))

    def canary_is(self, canary: Canary) -> "Release":
        """Let a version decide for a share of the keys; the same one again changes its share.

        Raises:
            ModelError: E_RELEASE_STAGE, no champion is there to compare with, or another canary is.
        """
        model = canary.model
        if self.champion is None or self.champion.id == model.id:
            raise _refused(
                f"{model.id} has no other champion beside it", "a canary needs one to be judged by"
            )
        if self.canary is not None and self.canary.model.id != model.id:
            raise _refused(f"{self.canary.model.id} is canary", "retire it or promote it first")
        return self._with(model.id, canary=canary, shadows=self._without(model.id))

    def champion_is(self, model: Champion) -> "Release":
        """Let a version decide; the present champion retires and is what rollback goes back to."""
        before = self.champion
        if before is not None and before.id == model.id:
            return self._with(model.id, champion=model)
        canary = None if self.canary is not None and self.canary.model.id == model.id else self.canary
        moved = self._with(model.id, champion=model, canary=canary, shadows=self._without(model.id))
        if before is None:
            return moved
        return msgspec.structs.replace(
            moved, history=(*self.history, before)[-HISTORY_MAX:], retired=(*moved.retired, before.id)
        )

    def rolled_back(self) -> "Release":
        """Let the champion before the present one decide again; the present one retires.

        Raises:
            ModelError: E_MODEL_ROLLBACK, there was none.
        """
        if not self.history or self.champion is None:
            raise ModelError(
                "E_MODEL_ROLLBACK", "no champion before the present one", RELEASE_FILE,
                "promote a version by name instead",
            )  # fmt: skip
        before = self.history[-1]
        canary = None if self.canary is not None and self.canary.model.id == before.id else self.canary
        moved = self._with(before.id, champion=before, canary=canary, shadows=self._without(before.id))
        return msgspec.structs.replace(
            moved, history=self.history[:-1], retired=(*moved.retired, self.champion.id)
        )

    def is_retired(self, version_id: str) -> "Release":
        """Take a canary or shadow out of service, or a candidate off the list of those to come.

        Raises:
            ModelError: E_RELEASE_STAGE, it is the champion.
        """
        stage = self.stage_of(version_id)
        if stage == "champion":
            raise _refused(f"{version_id} is champion", "promote another version, or roll back, first")
        canary = None if stage == "canary" else self.canary
        moved = self._with(version_id, canary=canary, shadows=self._without(version_id))
        return msgspec.structs.replace(moved, retired=(*moved.retired, version_id))

    def _without(self, version_id: str) -> tuple[Champion, ...]:
        return tuple(shadow for shadow in self.shadows if shadow.id != version_id)

    def _with(self, version_id: str, **fields: Any) -> "Release":
        """Return the release with fields changed and the version no longer retired."""
        retired = tuple(one for one in self.retired if one != version_id)
        return msgspec.structs.replace(self, retired=retired, **fields)


def read_release(models: Path) -> Release:
    """Return what the registry's folder says; one from before releases has a champion at most.

    Raises:
        ModelError: E_MODEL_RELEASE or E_MODEL_CHAMPION, the file is not readable.
    """
    path = models / RELEASE_FILE
    if not path.exists():
        return Release(champion=read_champion(models))
    return decode_release(read_file(path), str(path))


def decode_release(data: bytes, where: str) -> Release:
    """Return a release from its JSON.

    Raises:
        ModelError: E_MODEL_RELEASE, it says something that no release can be.
    """
    try:
        return msgspec.json.decode(data, type=Release)
    except NOT_JSON as error:
        raise ModelError("E_MODEL_RELEASE", str(error), where, "promote a version again") from error


def _refused(what: str, next_step: str) -> ModelError:
    return ModelError("E_RELEASE_STAGE", what, RELEASE_FILE, next_step)
