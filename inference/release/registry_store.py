"""Where a registry keeps versions, the release and the audit: the port, and the folder behind it.

<models>/<name>/<version>/      written under another name, then renamed: whole or not there
<models>/release.json           replaced in one step
<models>/audit.ndjson           appended to, never rewritten
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec
import orjson

from contracts.crash_points import reach
from inference.models.manifest import MANIFEST_FILE, RELEASE_FILE, Champion, folder_of, read_file
from inference.release.release import Release, read_release
from inference.release.signature import check_signature, signed
from runtime.atomic_file import append_line, move_into_place, replace_file
from runtime.file_lock import locked

AUDIT_FILE = "audit.ndjson"
LOCK_FILE = ".lock"


class RegistryStore(Protocol):
    """What the registry asks of a back end. Every implementation passes one suite of tests."""

    def changing(self) -> AbstractContextManager[None]:
        """Hold off every other change while the block runs; readers go on."""

    def versions(self) -> list[tuple[str, str]]:
        """Return name and version of all that is stored, sorted."""

    def read(self, name: str, version: str, file: str) -> bytes:
        """Return one file of a version.

        Raises:
            ModelError: E_MODEL_FILE or E_MODEL_PATH.
        """

    def add(self, name: str, version: str, files: Mapping[str, bytes]) -> None:
        """Store a version; it is there with all its files or not at all."""

    def release(self) -> Release:
        """Return the release in force.

        Raises:
            ModelError: E_MODEL_RELEASE.
        """

    def put_release(self, release: Release) -> None:
        """Put another release in force, in one step; only inside `changing`."""

    def audit(self) -> list[dict[str, Any]]:
        """Return the audit's rows, oldest first."""

    def record(self, row: Mapping[str, Any]) -> None:
        """Append a row to the audit; it is on disk when this returns."""


class FolderStore:
    """A folder on this machine or on a disk that all scorers see.

    Args:
        secret: signs releases, where it is not empty.

    >>> FolderStore(Path("no/such/models")).versions()
    []
    """

    def __init__(self, models: Path, secret: str = "") -> None:
        self._models, self._secret = models, secret

    @contextmanager
    def changing(self) -> Iterator[None]:
        """One change at a time, over all processes that share the folder's locks."""
        with locked(self._models / LOCK_FILE):
            yield

    def versions(self) -> list[tuple[str, str]]:
        """Return name and version of all that is stored, sorted."""
        found = self._models.glob(f"[!.]*/[!.]*/{MANIFEST_FILE}")
        return sorted((path.parent.parent.name, path.parent.name) for path in found)

    def read(self, name: str, version: str, file: str) -> bytes:
        """Return one file of a version.

        Raises:
            ModelError: E_MODEL_FILE or E_MODEL_PATH.
        """
        return read_file(folder_of(self._models, Champion(name=name, version=version, sha256="")) / file)

    def add(self, name: str, version: str, files: Mapping[str, bytes]) -> None:
        """Store a version; it is there with all its files or not at all."""
        folder = folder_of(self._models, Champion(name=name, version=version, sha256=""))
        part = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for file, data in files.items():
            replace_file(part / file, data)
        reach("registry.in_add")
        move_into_place(part, folder)

    def release(self) -> Release:
        """Return the release in force.

        Raises:
            ModelError: E_MODEL_RELEASE or E_MODEL_SIGNATURE.
        """
        found = read_release(self._models)
        if found.revision:  # the first signed release follows one that nobody signed
            check_signature(found, self._secret, str(self._models / RELEASE_FILE))
        return found

    def put_release(self, release: Release) -> None:
        """Put another release in force, in one step; only inside `changing`."""
        data = msgspec.json.encode(signed(release, self._secret))
        replace_file(self._models / RELEASE_FILE, data, point="registry.in_replace")

    def audit(self) -> list[dict[str, Any]]:
        """Return the audit's rows, oldest first; a line cut short by a crash is passed over."""
        path = self._models / AUDIT_FILE
        if not path.exists():
            return []
        return [row for line in path.read_bytes().split(b"\n") if (row := _whole_line(line))]

    def record(self, row: Mapping[str, Any]) -> None:
        """Append a row to the audit; it is on disk when this returns."""
        append_line(self._models / AUDIT_FILE, orjson.dumps(row))


def _whole_line(line: bytes) -> dict[str, Any] | None:
    try:
        row: dict[str, Any] = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return row
