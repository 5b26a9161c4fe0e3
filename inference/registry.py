"""The registry: a folder of versions, one of them champion, and a log of who changed what.

<models>/<name>/<version>/      written under another name, then renamed: whole or not there
<models>/champion.json          replaced in one step
<models>/audit.ndjson           appended to, never rewritten
"""

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import orjson

from contracts.errors import ModelError
from inference.manifest import (
    CHAMPION_FILE,
    MANIFEST_FILE,
    Champion,
    Manifest,
    checked_files,
    digest,
    folder_of,
    read_champion,
    read_file,
    read_manifest,
)

AUDIT_FILE = "audit.ndjson"
LOCK_FILE = ".lock"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One version as `headrace models` shows it; `sha256` is the digest of its manifest."""

    id: str
    name: str
    version: str
    stage: str
    sha256: str
    metrics: dict[str, Any]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Who changes the registry, when and why."""

    who: str
    at_ms: int
    why: str


class Registry:
    """Versions in a folder; several processes may read while one changes it.

    >>> Registry(Path("no/such/models")).entries()
    []
    """

    def __init__(self, models: Path) -> None:
        self.models = models

    def entries(self) -> list[Entry]:
        """Return every version, by name and version; the champion's stage says so."""
        champion = read_champion(self.models)
        return [self._entry(path.parent, champion) for path in sorted(self._manifests())]

    def find(self, version_id: str) -> Entry:
        """Return a version by `name/version`, by its version alone, or "champion".

        Raises:
            ModelError: E_MODEL_UNKNOWN, none or several versions are meant.
        """
        entries = self.entries()
        if version_id == "champion":
            found = [entry for entry in entries if entry.stage == "champion"]
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
        found: dict[str, Any] = orjson.loads(read_file(self._folder(entry) / MANIFEST_FILE))
        return found

    def add(self, name: str, files: Mapping[str, bytes], manifest: dict[str, Any], change: Change) -> Entry:
        """Store a new version, numbered after the last, and return it; it is a candidate.

        Args:
            files: file name to bytes; their digests go into the manifest.
            manifest: everything else it shall say; name, version and sha256 are set here.
        """
        sha256 = {file: digest(data) for file, data in sorted(files.items())}
        with self._changing():
            version = f"{self._next_number(name):04d}-{sha256['model.txt'][:8]}"
            whole = {"name": name, "version": version} | manifest | {"sha256": sha256}
            data = orjson.dumps(whole, option=orjson.OPT_INDENT_2)
            self._write_version(self.models / name / version, {**files, MANIFEST_FILE: data})
            self._record("add", f"{name}/{version}", digest(data), change)
        return self.find(f"{name}/{version}")

    def promote(self, version_id: str, change: Change, action: str = "promote") -> Entry:
        """Make a version the champion, when its files are whole; the scorers see it within a second.

        Raises:
            ModelError: E_MODEL_UNKNOWN, or what is wrong with the version's files.
        """
        with self._changing():
            entry = self.find(version_id)
            folder = self._folder(entry)
            checked_files(folder, read_manifest(folder, entry.sha256))
            pointer = Champion(name=entry.name, version=entry.version, sha256=entry.sha256)
            _replace(self.models / CHAMPION_FILE, msgspec.json.encode(pointer))
            self._record(action, entry.id, entry.sha256, change)
        return self.find(entry.id)

    def rollback(self, change: Change) -> Entry:
        """Make the champion before the present one champion again.

        Raises:
            ModelError: E_MODEL_ROLLBACK, there was none.
        """
        steps = [row for row in self.audit() if row["action"] in ("promote", "rollback")]
        stack: list[str] = []
        for step in steps:
            if step["action"] == "rollback" and len(stack) > 1:
                stack.pop()
            elif not stack or stack[-1] != step["id"]:
                stack.append(step["id"])
        if len(stack) < 2:
            raise ModelError(
                "E_MODEL_ROLLBACK", "no champion before the present one", str(self.models / AUDIT_FILE),
                "promote a version by name instead",
            )  # fmt: skip
        return self.promote(stack[-2], change, action="rollback")

    def audit(self) -> list[dict[str, Any]]:
        """Return every change, oldest first; a line cut short by a crash is passed over."""
        path = self.models / AUDIT_FILE
        if not path.exists():
            return []
        return [row for line in path.read_bytes().split(b"\n") if (row := _whole_line(line))]

    def _manifests(self) -> Iterator[Path]:
        return self.models.glob(f"[!.]*/[!.]*/{MANIFEST_FILE}")

    def _entry(self, folder: Path, champion: Champion | None) -> Entry:
        data = read_file(folder / MANIFEST_FILE)
        name, version = folder.parent.name, folder.name
        try:
            metrics = orjson.loads(data).get("metrics", {})
            msgspec.json.decode(data, type=Manifest)
        except (orjson.JSONDecodeError, msgspec.MsgspecError, UnicodeDecodeError, AttributeError) as error:
            return Entry(
                id=f"{name}/{version}", name=name, version=version, stage="damaged", sha256=digest(data),
                metrics={"error": str(error)},
            )  # fmt: skip
        live = champion is not None and (champion.name, champion.version) == (name, version)
        return Entry(
            id=f"{name}/{version}", name=name, version=version, stage="champion" if live else "candidate",
            sha256=digest(data), metrics=metrics,
        )  # fmt: skip

    def _folder(self, entry: Entry) -> Path:
        return folder_of(self.models, Champion(name=entry.name, version=entry.version, sha256=entry.sha256))

    def _next_number(self, name: str) -> int:
        taken = [path.name.partition("-")[0] for path in (self.models / name).glob("[0-9]*-*")]
        return max([int(number) for number in taken if number.isdecimal()], default=0) + 1

    def _write_version(self, folder: Path, files: Mapping[str, bytes]) -> None:
        part = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for name, data in files.items():
            _replace(part / name, data)
        part.rename(folder)

    def _record(self, action: str, version_id: str, sha256: str, change: Change) -> None:
        row = {"action": action, "id": version_id, "sha256": sha256} | msgspec.to_builtins(change)
        path = self.models / AUDIT_FILE
        with path.open("ab") as audit:
            cut_short = path.stat().st_size and not path.read_bytes().endswith(b"\n")
            audit.write((b"\n" if cut_short else b"") + orjson.dumps(row) + b"\n")
            audit.flush()
            os.fsync(audit.fileno())

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One change at a time, over all processes of this machine."""
        self.models.mkdir(parents=True, exist_ok=True)
        with (self.models / LOCK_FILE).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _whole_line(line: bytes) -> dict[str, Any] | None:
    try:
        row: dict[str, Any] = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return row


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as sink:
        sink.write(data)
        sink.flush()
        os.fsync(sink.fileno())
    part.replace(path)
