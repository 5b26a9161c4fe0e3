"""The registry: versions of models, who of them is in service, and who changed that, when and why.

A change is written to the audit first, then put in force in one step. A row of the audit carries the
revision it led to, so one whose change a crash prevented can be told from one that took effect; what
rollback goes back to is in the release itself and needs no audit.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import orjson

from contracts.crash_points import reach
from contracts.errors import ModelError
from inference.models.manifest import (
    MANIFEST_FILE,
    Champion,
    Manifest,
    digest,
    read_checked,
)
from inference.release.registry_store import FolderStore, RegistryStore
from inference.release.release import Canary, Release, Stage

Move = Callable[[Release], Release]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One version as `headrace models` shows it; `sha256` is the digest of its manifest.

    `stage` is the release's, or "damaged" where the manifest is not readable.
    """

    id: str
    name: str
    version: str
    stage: str
    sha256: str
    metrics: dict[str, Any]

    @property
    def pointer(self) -> Champion:
        """Return what a release calls it."""
        return Champion(name=self.name, version=self.version, sha256=self.sha256)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Who changes the registry, when and why."""

    who: str
    at_ms: int
    why: str


class Registry:
    """Versions of models; several processes may read while one changes something.

    Args:
        models: the folder that scorers read.
        store: where everything is kept; by default that folder.

    >>> Registry(Path("no/such/models")).entries()
    []
    """

    def __init__(self, models: Path, store: RegistryStore | None = None) -> None:
        self.models = models
        self._store: RegistryStore = FolderStore(models) if store is None else store

    def entries(self) -> list[Entry]:
        """Return every version, by name and version, with its stage."""
        release = self.release()
        return [self._entry(name, version, release) for name, version in self._store.versions()]

    def release(self) -> Release:
        """Return who is in service.

        Raises:
            ModelError: E_MODEL_RELEASE or E_MODEL_CHAMPION.
        """
        found = self._store.release()
        if found.revision == 0 and found.champion is not None:  # from before releases: history is the audit's
            return msgspec.structs.replace(found, history=_history(self._store.audit(), found.champion))
        return found

    def find(self, version_id: str) -> Entry:
        """Return a version by `name/version`, by its version alone, or "champion" or "canary".

        Raises:
            ModelError: E_MODEL_UNKNOWN, none or several versions are meant.
        """
        entries = self.entries()
        if version_id in ("champion", "canary"):
            found = [entry for entry in entries if entry.stage == version_id]
        else:
            found = [entry for entry in entries if version_id in (entry.id, entry.version)]
        if len(found) != 1:
            known = ", ".join(entry.id for entry in entries) or "none"
            raise ModelError(
                "E_MODEL_UNKNOWN", f"{version_id!r} names {len(found)} versions", f"known: {known}",
                "give name/version as `headrace models list` shows it",
            )  # fmt: skip
        return found[0]

    def manifest(self, entry: Entry) -> dict[str, Any]:
        """Return everything training wrote down about a version."""
        found: dict[str, Any] = orjson.loads(self.file(entry, MANIFEST_FILE))
        return found

    def file(self, entry: Entry, name: str) -> bytes:
        """Return one file of a version.

        Raises:
            ModelError: E_MODEL_FILE or E_MODEL_PATH.
        """
        return self._store.read(entry.name, entry.version, name)

    def add(self, name: str, files: Mapping[str, bytes], manifest: dict[str, Any], change: Change) -> Entry:
        """Store a new version, numbered after the last, and return it; it is a candidate.

        Args:
            files: file name to bytes; their digests go into the manifest.
            manifest: everything else it shall say; name, version and sha256 are set here.
        """
        sha256 = {file: digest(data) for file, data in sorted(files.items())}
        with self._store.changing():
            version = f"{self._next_number(name):04d}-{sha256['model.txt'][:8]}"
            whole = {"name": name, "version": version} | manifest | {"sha256": sha256}
            data = orjson.dumps(whole, option=orjson.OPT_INDENT_2)
            about = {"action": "add", "id": f"{name}/{version}", "sha256": digest(data)}
            self._store.record(about | msgspec.to_builtins(change))
            self._store.add(name, version, {**files, MANIFEST_FILE: data})
        return self.find(f"{name}/{version}")

    def promote(
        self,
        version_id: str,
        change: Change,
        to: Stage = "champion",
        *,
        share_percent: float = 1.0,
        expected: int | None = None,
        gates: list[dict[str, Any]] | None = None,
        action: str = "promote",
    ) -> Entry:
        """Move a version to another stage, when its files are whole; the scorers follow within a second.

        Args:
            to: shadow, canary or champion.
            share_percent: of the keys, for a canary.
            expected: the revision that the decision was made on; None for whatever there is.
            gates: what the gates said, for the audit; gates are `inference.release.promotion`'s business.

        Raises:
            ModelError: E_MODEL_UNKNOWN; E_RELEASE_CHANGED, somebody was faster; E_RELEASE_STAGE, the move is
                not possible; or what is wrong with the version's files.
        """
        entry = self.find(version_id)
        self._check_files(entry)
        model = entry.pointer
        canary = Canary(model=model, share_percent=share_percent, since_ms=change.at_ms)
        moves: dict[str, Move] = {
            "shadow": lambda release: release.shadow_is(model),
            "canary": lambda release: release.canary_is(canary),
            "champion": lambda release: release.champion_is(model),
        }
        if to not in moves:
            raise ModelError("E_RELEASE_STAGE", f"{to!r} is no stage to promote to", model.id, "retire it")
        more: dict[str, Any] = {} if gates is None else {"gates": gates}
        if to == "canary":
            more["share_percent"] = share_percent
        self.change(action, moves[to], change, expected, model, **more)
        return self.find(entry.id)

    def rollback(self, change: Change, expected: int | None = None) -> Entry:
        """Make the champion before the present one champion again.

        Raises:
            ModelError: E_MODEL_ROLLBACK, there was none; E_RELEASE_CHANGED.
        """
        release = self.change("rollback", self._whole_rollback, change, expected)
        assert release.champion is not None, "a rollback ends with a champion"
        return self.find(release.champion.id)

    def retire(self, version_id: str, change: Change, expected: int | None = None) -> Entry:
        """Take a version out of service.

        Raises:
            ModelError: E_MODEL_UNKNOWN; E_RELEASE_STAGE, it is the champion; E_RELEASE_CHANGED.
        """
        entry = self.find(version_id)
        self.change("retire", lambda release: release.is_retired(entry.id), change, expected, entry.pointer)
        return self.find(entry.id)

    def change(
        self,
        action: str,
        move: Move,
        change: Change,
        expected: int | None = None,
        model: Champion | None = None,
        **more: Any,
    ) -> Release:
        """Make one move: audit first, then the release in one step. Of two at once one is refused.

        Raises:
            ModelError: E_RELEASE_CHANGED, the release is not of the expected revision any more; what the
                move refuses.
        """
        with self._store.changing():
            before = self.release()
            if expected is not None and before.revision != expected:
                raise _overtaken(before, expected)
            after = move(before)
            meant = model or after.champion
            about: dict[str, Any] = {
                "action": action, "id": meant.id if meant else "", "sha256": meant.sha256 if meant else "",
                "revision": before.revision + 1, "from": before.stage_of(meant.id) if meant else "",
                "to": after.stage_of(meant.id) if meant else "", **more,
            } | msgspec.to_builtins(change)  # fmt: skip
            release = msgspec.structs.replace(after, revision=before.revision + 1, change=about)
            reach("registry.before_audit")
            self._store.record(about)
            reach("registry.after_audit")
            self._store.put_release(release)
            reach("registry.after_release")
        return release

    def audit(self) -> list[dict[str, Any]]:
        """Return every change, oldest first; `took_effect` is false where a crash came before it."""
        rows = self._store.audit()
        revision = self._store.release().revision
        last = {row["revision"]: at for at, row in enumerate(rows) if "revision" in row}
        stored = {f"{name}/{version}" for name, version in self._store.versions()}
        for at, row in enumerate(rows):
            if "revision" in row:
                row["took_effect"] = row["revision"] <= revision and last[row["revision"]] == at
            else:
                row["took_effect"] = row["action"] != "add" or row["id"] in stored
        return rows

    def _whole_rollback(self, release: Release) -> Release:
        moved = release.rolled_back()
        assert moved.champion is not None, "a rollback ends with a champion"
        self._check_files(self._entry(moved.champion.name, moved.champion.version, release), moved.champion)
        return moved

    def _check_files(self, entry: Entry, vouched: Champion | None = None) -> None:
        pointer = vouched or entry.pointer
        read_checked(lambda name: self._store.read(pointer.name, pointer.version, name), pointer)

    def _entry(self, name: str, version: str, release: Release) -> Entry:
        version_id = f"{name}/{version}"
        try:
            data = self._store.read(name, version, MANIFEST_FILE)
        except ModelError as error:  # one bad folder hides no other version
            return Entry(
                id=version_id, name=name, version=version, stage="damaged", sha256="",
                metrics={"error": str(error)},
            )  # fmt: skip
        try:
            metrics = orjson.loads(data).get("metrics", {})
            msgspec.json.decode(data, type=Manifest)
        except (orjson.JSONDecodeError, msgspec.MsgspecError, UnicodeDecodeError, AttributeError) as error:
            return Entry(
                id=version_id, name=name, version=version, stage="damaged", sha256=digest(data),
                metrics={"error": str(error)},
            )  # fmt: skip
        return Entry(
            id=version_id, name=name, version=version, stage=release.stage_of(version_id),
            sha256=digest(data), metrics=metrics,
        )  # fmt: skip

    def _next_number(self, name: str) -> int:
        """Return the number after the highest ever given, a version that a crash prevented included."""
        given = [version for of, version in self._store.versions() if of == name]
        given += [row["id"].partition("/")[2] for row in self._store.audit() if row["action"] == "add"
                  and row["id"].startswith(f"{name}/")]  # fmt: skip
        numbers = [version.partition("-")[0] for version in given]
        return max([int(number) for number in numbers if number.isdecimal()], default=0) + 1


def _overtaken(now: Release, expected: int) -> ModelError:
    by = f"{now.change.get('who', 'somebody')} did {now.change.get('action', '?')} {now.change.get('id', '')}"
    champion = now.champion.id if now.champion else "nobody"
    return ModelError(
        "E_RELEASE_CHANGED", f"{by} meanwhile; {champion} is champion",
        f"revision {now.revision}, not {expected}", "look at `headrace models list` and decide again",
    )  # fmt: skip


def _history(audit: list[dict[str, Any]], champion: Champion) -> tuple[Champion, ...]:
    """Return the champions before the present one, from an audit that was written before releases."""
    stack: list[tuple[str, str]] = []
    for row in audit:
        if row["action"] == "rollback" and len(stack) > 1:
            stack.pop()
        elif row["action"] == "promote" and (not stack or stack[-1][0] != row["id"]):
            stack.append((row["id"], row["sha256"]))
    if stack and stack[-1][0] == champion.id:
        stack.pop()
    return tuple(
        Champion(name=of.partition("/")[0], version=of.partition("/")[2], sha256=sha256)
        for of, sha256 in stack
    )
