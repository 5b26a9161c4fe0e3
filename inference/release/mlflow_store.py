"""A registry in MLflow: versions, the release and the audit as MLflow's objects.

    registered model <name>, a version each    tags headrace_version and headrace_files (file to sha256);
                                               the files are artifacts of its run
    registered model headrace.registry         its tags name three runs, whose parameters are numbered:
        headrace_releases                      the releases, by revision; the highest is in force
        headrace_audit                         the audit, a row each
        headrace_turns                         who may change something (`inference/release/mlflow_log.py`)

A version is there with the one call that creates it in MLflow, tags included, after its files. The aliases
champion, canary and shadow-1 to shadow-4 show MLflow's readers who is in service; nobody of ours reads them.
"""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import orjson
import structlog

from contracts.crash_points import reach
from contracts.errors import ModelError
from inference.models.manifest import Champion, digest, folder_of
from inference.release.mlflow_client import UNREACHABLE, AbsentError, MlflowClient, TakenError
from inference.release.mlflow_log import NumberedLog, Turns
from inference.release.release import Release, decode_release
from inference.release.signature import check_signature, signed
from runtime.clock import Clock, SystemClock
from runtime.file_lock import locked

ROOT = "headrace.registry"
RELEASES, AUDIT, TURNS = "headrace_releases", "headrace_audit", "headrace_turns"
VERSION, FILES = "headrace_version", "headrace_files"
FILES_FOLDER = "version"
LOCK_FILE = ".mlflow.lock"

log = structlog.get_logger(__name__)


class _Stored(msgspec.Struct, frozen=True):
    """A version as MLflow has it: its number there, its run, the digest of each file."""

    number: int
    run: str
    sha256: dict[str, str]


class MlflowStore:
    """MLflow's model registry as the record of who is in service.

    Args:
        uri: of MLflow's server (http, https) or of its database (sqlite:///...).
        models: the folder on this host that holds the lock of its processes.
        secret: signs releases, where it is not empty.
        clock: for the time that a turn lasts.

    Every method raises ModelError E_MODEL_REGISTRY when MLflow does not answer.
    """

    def __init__(self, uri: str, models: Path, secret: str = "", clock: Clock | None = None) -> None:
        self._client, self._models, self._secret = MlflowClient(uri), models, secret
        self._runs: dict[str, str] = {}
        self._stored: dict[tuple[str, str], _Stored] = {}
        self._newest: tuple[str, Release] = ("", Release())
        self._releases = NumberedLog(self._client, partial(self._run, RELEASES), inline_max=0)
        self._audit = NumberedLog(self._client, partial(self._run, AUDIT))
        self._turns = Turns(self._client, partial(self._run, TURNS), clock or SystemClock())

    @contextmanager
    def changing(self) -> Iterator[None]:
        """One change at a time: a lock file for this host's processes, a turn in MLflow for all hosts."""
        with locked(self._models / LOCK_FILE) as lock:
            lock.seek(0)
            holder = lock.read().decode() or uuid.uuid4().hex
            if not lock.tell():
                lock.write(holder.encode())
                lock.flush()
            self._found()
            with self._turns.turn(holder):
                yield

    def versions(self) -> list[tuple[str, str]]:
        """Return name and version of all that is stored, sorted; what others keep there is passed over."""
        return sorted(self._look())

    def read(self, name: str, version: str, file: str) -> bytes:
        """Return one file of a version, as it was added.

        Raises:
            ModelError: E_MODEL_FILE, E_MODEL_PATH or E_MODEL_HASH.
        """
        where = str(folder_of(Path(), Champion(name=name, version=version, sha256="")) / file)
        if (name, version) not in self._stored:
            self._look()
        stored = self._stored.get((name, version))
        if stored is None or file not in stored.sha256:
            raise ModelError(
                "E_MODEL_FILE", f"{self._client.uri} has no such file", where,
                "train or promote another version",
            )  # fmt: skip
        try:
            data = self._client.download(stored.run, f"{FILES_FOLDER}/{file}")
        except AbsentError as error:
            raise ModelError(
                "E_MODEL_FILE", f"gone from the artifacts of run {stored.run}", where,
                "restore MLflow's artifacts, or promote another version",
            ) from error  # fmt: skip
        if digest(data) != stored.sha256[file]:
            raise ModelError(
                "E_MODEL_HASH", f"the artifact of run {stored.run} differs from its digest", where,
                "restore MLflow's artifacts, or promote another version",
            )  # fmt: skip
        return data

    def add(self, name: str, version: str, files: Mapping[str, bytes]) -> None:
        """Store a version; it is there with all its files or not at all.

        Raises:
            ModelError: E_MODEL_PATH; E_MODEL_EXISTS, it is there already.
        """
        pointer = Champion(name=name, version=version, sha256="")
        folder_of(Path(), pointer)
        if (name, version) in self._look():
            raise ModelError("E_MODEL_EXISTS", "is there already", f"{self._client.uri} {pointer.id}")
        run = self._client.new_run(pointer.id)
        self._client.upload(run, FILES_FOLDER, files)
        reach("registry.in_add")
        with suppress(TakenError):  # by an earlier version
            self._client.ask("create_registered_model", name)
        sha256 = {file: digest(data) for file, data in sorted(files.items())}
        source = self._client.ask("get_run", run).info.artifact_uri
        self._client.ask(
            "create_model_version", name, f"{source}/{FILES_FOLDER}", run_id=run,
            tags={VERSION: version, FILES: orjson.dumps(sha256).decode()}, await_creation_for=0,
        )  # fmt: skip
        self._client.ask("set_terminated", run)

    def release(self) -> Release:
        """Return the release in force.

        Raises:
            ModelError: E_MODEL_RELEASE or E_MODEL_SIGNATURE.
        """
        entries = self._releases.entries() if self._found(make=False) else {}
        if not entries:
            return Release()
        revision = max(entries)
        if self._newest[0] != entries[revision]:
            self._newest = entries[revision], self._checked(revision, entries[revision])
        return self._newest[1]

    def put_release(self, release: Release) -> None:
        """Put another release in force, in one step; only inside `changing`.

        Raises:
            ModelError: E_RELEASE_CHANGED, one of that revision or a later one is in force.
        """
        newest = max(self._releases.entries(), default=-1)
        entry = self._releases.prepare(msgspec.json.encode(signed(release, self._secret)))
        reach("registry.in_replace")
        try:
            if newest >= release.revision:
                raise TakenError("E_RELEASE_CHANGED", f"revision {newest} is in force", self._client.uri)
            self._releases.put(release.revision, entry)
        except TakenError as error:
            raise ModelError(
                "E_RELEASE_CHANGED", f"revision {release.revision} is another's, or one before",
                self._client.uri, "look at `headrace models list` and decide again",
            ) from error  # fmt: skip
        self._show(release)

    def audit(self) -> list[dict[str, Any]]:
        """Return the audit's rows, oldest first; one whose artifact is gone is passed over and logged."""
        if not self._found(make=False):
            return []
        rows = []
        for number, entry in self._audit.entries().items():
            try:
                rows.append(orjson.loads(self._audit.data(entry)))
            except ModelError as error:
                if error.code == UNREACHABLE:
                    raise
                log.error("audit_row_not_read", code=error.code, number=number, why=str(error))
        return rows

    def record(self, row: Mapping[str, Any]) -> None:
        """Append a row to the audit; MLflow has it when this returns.

        Raises:
            ModelError: E_RELEASE_CHANGED, somebody else appended one at the same moment.
        """
        self._audit.put(max(self._audit.entries(), default=-1) + 1, self._audit.prepare(orjson.dumps(row)))

    def _checked(self, revision: int, entry: str) -> Release:
        where = f"{self._client.uri} {ROOT} revision {revision}"
        try:
            found = decode_release(self._releases.data(entry), where)
        except ModelError as error:
            if error.code == UNREACHABLE:
                raise
            raise ModelError(
                "E_MODEL_RELEASE", str(error), where, "restore MLflow's artifacts from a backup"
            ) from error
        if found.revision != revision:
            raise ModelError("E_MODEL_RELEASE", f"says revision {found.revision}", where, "restore a backup")
        check_signature(found, self._secret, where)
        return found

    def _look(self) -> Mapping[tuple[str, str], _Stored]:
        """Return all versions of ours; of two of one name the older one."""
        ours = self._client.pages("search_model_versions", filter_string=f"tags.{VERSION} LIKE '%'")
        self._stored = {}
        for one in sorted(ours, key=lambda one: -int(one.version)):
            try:
                sha256 = msgspec.json.decode(one.tags.get(FILES, "{}"), type=dict[str, str])
            except msgspec.MsgspecError:
                sha256 = {}  # of somebody's making; it has no files that we would read
            key = (one.name, one.tags[VERSION])
            self._stored[key] = _Stored(int(one.version), one.run_id or "", sha256)
        return self._stored

    def _show(self, release: Release) -> None:
        """Set the aliases that MLflow's readers see; what cannot be set is logged and waits for a change."""
        meant: dict[str, Champion | None] = {
            "champion": release.champion, "canary": None if release.canary is None else release.canary.model,
            **{f"shadow-{place}": None for place in range(1, 5)},
            **{f"shadow-{place}": shadow for place, shadow in enumerate(release.shadows, 1)},
        }  # fmt: skip
        try:
            stored = self._look()
            for name in {name for name, _ in stored}:
                there = self._client.ask("get_registered_model", name).aliases
                for alias, model in meant.items():
                    version = stored.get((name, model.version)) if model and model.name == name else None
                    self._alias(name, alias, str(there.get(alias, "")), version)
        except ModelError as error:
            log.warning("aliases_not_set", code=error.code, why=str(error))

    def _alias(self, name: str, alias: str, there: str, version: _Stored | None) -> None:
        if version is None and there:
            self._client.ask("delete_registered_model_alias", name, alias)
        elif version is not None and there != str(version.number):
            self._client.ask("set_registered_model_alias", name, alias, str(version.number))

    def _run(self, of: str) -> str:
        """Return the id of one of our three runs."""
        self._found()
        return self._runs[of]

    def _found(self, *, make: bool = True) -> bool:
        """Find our three runs, or make them where this MLflow has none; return whether they are there.

        Who creates the registered model that names them is the one that made them, as names are unique.
        """
        if self._runs:
            return True
        try:
            tags = self._client.ask("get_registered_model", ROOT).tags
        except AbsentError:
            if not make:
                return False
            tags = {of: self._client.new_run(of) for of in (RELEASES, AUDIT, TURNS)}
            about = (
                "headrace: who is in service, and who changed that. Whoever deletes it deletes the registry."
            )
            try:
                self._client.ask("create_registered_model", ROOT, tags, about)
            except TakenError:
                for run in tags.values():
                    self._client.ask("delete_run", run)
                return self._found()
        self._runs = {of: tags[of] for of in (RELEASES, AUDIT, TURNS) if of in tags}
        if len(self._runs) != 3:
            self._runs = {}
            raise ModelError("E_MODEL_RELEASE", "names no runs of ours", f"{self._client.uri} {ROOT}",
                             "restore its tags, or use another MLflow")  # fmt: skip
        return True
