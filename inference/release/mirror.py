"""The models' folder as a mirror of a registry elsewhere, so that scorers read files and no network.

The registry elsewhere is the record: it is written first, and the folder follows it, versions before the
release that names them. While it does not answer, or says what cannot be right, the folder stays as it is
and so do the models in service. A folder that is ahead of its record is never overwritten: somebody has to
say which of the two is meant.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from contracts.crash_points import reach
from contracts.errors import ModelError
from inference.models.manifest import MANIFEST_FILE, RELEASE_FILE, Champion, digest, folder_of, read_checked
from inference.release.registry_store import FolderStore, RegistryStore
from inference.release.release import Release, read_release
from runtime.atomic_file import replace_file
from runtime.file_lock import locked
from runtime.watched import Watched, WatchMetrics

LOCK_FILE = ".mirror.lock"
LOOKS_A_WHOLE = 15  # candidates come with every so many looks at the release, or with the next release

log = structlog.get_logger(__name__)


class Mirror:
    """Brings versions and the release of a record into the folder.

    Args:
        record: where they are kept.
        models: the folder, which several processes may mirror into at once.
    """

    def __init__(self, record: RegistryStore, models: Path) -> None:
        self._record, self._models = record, models
        self._folder = FolderStore(models)
        self._looks = 0
        self._told: set[str] = set()

    def look(self) -> Release:
        """Bring the release when it is another one, and what else is new now and then.

        Raises:
            ModelError: as `follow`.
        """
        release = self._record.release()
        self._looks += 1
        if release == self._here() and self._looks % LOOKS_A_WHOLE != 1:
            return release
        return self.follow()

    def follow(self) -> Release:
        """Bring every version that the folder does not have, then the release, and return that.

        Raises:
            ModelError: E_MODEL_REGISTRY, the record does not answer; E_MODEL_MIRROR, the folder is ahead or
                may not be written; what is wrong with a version in service or the record's release. The
                folder's stays.
        """
        release = self._record.release()
        here = self._here()
        if here is not None and here.revision > release.revision:
            raise ModelError(
                "E_MODEL_MIRROR", f"revision {here.revision} here, {release.revision} in the record",
                str(self._models / RELEASE_FILE),
                "`headrace mirror --adopt` takes the folder into an empty record; where the record is right,"
                " move the folder away and start the scorers again",
            )  # fmt: skip
        with self._locked():
            for name, version in self._record.versions():
                if not (self._models / name / version / MANIFEST_FILE).exists():
                    self._try(name, version)
            if release.revision and release != here:
                self._put(release)
        return release

    def bring(self, name: str, version: str) -> None:
        """Bring one version, when its files are whole.

        Raises:
            ModelError: what is wrong with it, or E_MODEL_REGISTRY or E_MODEL_MIRROR.
        """
        with self._locked():
            if not (self._models / name / version / MANIFEST_FILE).exists():
                self._bring(name, version)

    def _here(self) -> Release | None:
        """Return the folder's release, None where what it says is no release: the record's replaces it then.

        Raises:
            ModelError: E_MODEL_FILE, the disk does not give it: it may be ahead of the record.
        """
        try:
            return read_release(self._models)
        except ModelError as error:
            if error.code == "E_MODEL_FILE":
                raise
            return None

    def _put(self, release: Release) -> None:
        """Let the folder name a release when all in service is whole here."""
        for pointer in release.pointers:
            try:
                self._check(pointer)
            except ModelError:  # damaged here, or another version of this name from before
                self._bring(pointer.name, pointer.version)
                self._check(pointer)
        reach("mirror.before_release")
        replace_file(self._models / RELEASE_FILE, msgspec.json.encode(release))

    def _check(self, pointer: Champion) -> None:
        read_checked(lambda file: self._folder.read(pointer.name, pointer.version, file), pointer)

    def _try(self, name: str, version: str) -> None:
        """Bring a version; one that is damaged hides no other, and counts when a release names it."""
        try:
            self._bring(name, version)
        except ModelError as error:
            if str(error) not in self._told:
                self._told.add(str(error))
                log.error("version_not_mirrored", id=f"{name}/{version}", code=error.code, error=str(error))

    def _bring(self, name: str, version: str) -> None:
        files = _files(self._record, name, version)
        folder = folder_of(self._models, Champion(name=name, version=version, sha256=""))
        shutil.rmtree(folder, ignore_errors=True)
        self._folder.add(name, version, files)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            with locked(self._models / LOCK_FILE):
                yield
        except OSError as error:
            raise ModelError(
                "E_MODEL_MIRROR", str(error), str(self._models), "let this process write the models' folder"
            ) from error


class MirroredStore:
    """A record whose changes are in this host's folder too when they return; other hosts' mirrors follow.

    A change that the record took and the folder did not is made all the same: it is logged, and the next
    look brings it.
    """

    def __init__(self, record: RegistryStore, models: Path) -> None:
        self._record, self.mirror = record, Mirror(record, models)

    def changing(self) -> AbstractContextManager[None]:
        """Hold off every other change while the block runs; readers go on."""
        return self._record.changing()

    def versions(self) -> list[tuple[str, str]]:
        """Return name and version of all that is stored, sorted."""
        return self._record.versions()

    def read(self, name: str, version: str, file: str) -> bytes:
        """Return one file of a version, from the record.

        Raises:
            ModelError: as the record's.
        """
        return self._record.read(name, version, file)

    def add(self, name: str, version: str, files: Mapping[str, bytes]) -> None:
        """Store a version in the record, then in the folder."""
        self._record.add(name, version, files)
        self._attempt(lambda: self.mirror.bring(name, version))

    def release(self) -> Release:
        """Return the release in force, the record's.

        Raises:
            ModelError: as the record's.
        """
        return self._record.release()

    def put_release(self, release: Release) -> None:
        """Put another release in force in the record, in one step, then in the folder."""
        self._record.put_release(release)
        self._attempt(self.mirror.follow)

    def audit(self) -> list[dict[str, Any]]:
        """Return the audit's rows, oldest first."""
        return self._record.audit()

    def record(self, row: Mapping[str, Any]) -> None:
        """Append a row to the audit."""
        self._record.record(row)

    def _attempt(self, what: Callable[[], object]) -> None:
        try:
            what()
        except ModelError as error:
            log.error("mirror_behind", code=error.code, error=str(error))


class MirrorMetrics:
    """What `headrace mirror` tells Prometheus.

    >>> metrics = MirrorMetrics(CollectorRegistry())
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.revision = Gauge(
            "headrace_mirror_release_revision", "revision of the folder's release", registry=registry
        )
        self.looks = Counter(
            "headrace_mirror_looks_total", "looks at the record", ["outcome"], registry=registry
        )
        self.watch = WatchMetrics(registry, "mirror")


class MirrorWatch:
    """Looks again and again; a look that fails is told once, counted, and leaves the folder as it is."""

    def __init__(self, mirror: Mirror, metrics: MirrorMetrics, watched: Watched | None = None) -> None:
        self._mirror, self._metrics, self._watched = mirror, metrics, watched or Watched("mirror")
        self._told, self._revision = "", -1

    def run(self, stopping: Callable[[], bool], interval_s: float) -> None:
        """Look until `stopping()`."""
        while not stopping():
            self.look()
            time.sleep(interval_s)

    def look(self) -> None:
        """Look once."""
        try:
            revision = self._mirror.look().revision
        except ModelError as error:
            self._failed(error)
        except OSError as error:
            self._failed(
                ModelError(
                    "E_MODEL_MIRROR", str(error), str(error.filename),
                    "let this process write the models' folder, and see that its disk has room",
                )
            )  # fmt: skip
        else:
            self._watched.succeeded()
            self._metrics.looks.labels("followed").inc()
            self._metrics.revision.set(revision)
            if revision != self._revision:
                log.info("release_mirrored", revision=revision)
            self._revision, self._told = revision, ""

    def _failed(self, error: ModelError) -> None:
        self._metrics.looks.labels("failed").inc()
        self._watched.failed(error)
        if str(error) != self._told:
            self._told = str(error)
            log.error("mirror_behind", code=error.code, error=str(error))


def adopt(folder: RegistryStore, record: RegistryStore) -> int:
    """Copy a folder's registry into an empty record, the release last, and return how many versions it has.

    Raises:
        ModelError: E_MODEL_MIRROR, the record has versions or a release already.
    """
    with record.changing():
        release, versions = folder.release(), folder.versions()
        there = record.versions()
        if record.release().revision or set(there) - set(versions):
            raise ModelError(
                "E_MODEL_MIRROR", "the record has a registry already", f"{len(there)} versions",
                "adopt into an MLflow without one",
            )  # fmt: skip
        for row in folder.audit()[len(record.audit()) :]:
            record.record(row)
        for name, version in versions:
            if (name, version) not in there:
                record.add(name, version, _files(folder, name, version))
        if release.revision:
            record.put_release(release)
    return len(versions)


def _files(store: RegistryStore, name: str, version: str) -> dict[str, bytes]:
    data = store.read(name, version, MANIFEST_FILE)
    pointer = Champion(name=name, version=version, sha256=digest(data))
    _, files = read_checked(lambda file: store.read(name, version, file), pointer)
    return {**files, MANIFEST_FILE: data}
