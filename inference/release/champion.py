"""The release, watched: new versions are checked off the event path and taken up at a batch boundary.

Whatever is wrong with a new champion, the present one stays and the refusal is told and counted.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from contracts.errors import ModelError
from features.project.running import RunningProject
from features.project.service import NO_SERVICE, Service
from features.service_meaning import service_meaning
from inference.drift import baseline
from inference.models import calibration
from inference.models.manifest import (
    BASELINE_FILE,
    CALIBRATION_FILE,
    GOLDEN_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    NOT_JSON,
    RELEASE_FILE,
    Champion,
    Golden,
    Manifest,
    Thresholds,
    checked_files,
    digest,
    folder_of,
    read_manifest,
)
from inference.models.model import LightGbmModel, Model, ModelName
from inference.models.text import check_model_text
from inference.models.trial import try_model
from inference.models.trials import note_of, remember
from inference.release.live import Live, LiveCanary, id_of, staged
from inference.release.release import Release, read_release
from inference.release.signature import check_signature
from runtime.watched import Watched

LOOKS_TO_RETRY = 240  # a trial may have failed for want of time or memory
LOOKS_TO_READ_AGAIN = 8  # a file that could not be read is there again soon, or never

log = structlog.get_logger(__name__)


class ChampionListener(Protocol):
    """Told what becomes of champions, in the watching thread."""

    def model_live(self, identity: ModelName) -> None:
        """Hear that the model scores from the next batch on."""

    def model_refused(self, error: ModelError) -> None:
        """Hear why a version was refused; the present model stays."""


class Definitions(msgspec.Struct, frozen=True):
    """What the vectors of this process mean; a model that needs what they do not have is refused.

    `hashes` says what each feature means, by name; without them only a model of the same hash is taken.
    `service` has the categories' lists, and `decisions` are what thresholds may be named for.
    """

    hash: str
    features: tuple[str, ...]
    hashes: Mapping[str, str] = {}
    service: Service = NO_SERVICE
    decisions: tuple[str, ...] = ()

    def columns_of(self, manifest: Manifest, where: str) -> list[int] | None:
        """Return where the model's features stand in our vectors; None when they are the vectors.

        A model that was trained before a feature was added goes on: its features are found by name, as long
        as each still means what it meant.

        Raises:
            ModelError: E_MODEL_DEFINITIONS, one of ITS features is gone or means something else;
                E_MODEL_FEATURES.
        """
        if manifest.definitions_hash == self.hash:
            if tuple(manifest.features) != self.features:
                raise ModelError(
                    "E_MODEL_FEATURES", "its features are not the service's", where, "train with these"
                )
            return None
        known = [name for name in manifest.features if name in self.hashes]
        changed = [name for name in known if manifest.feature_hashes.get(name) != self.hashes[name]]
        gone = [name for name in manifest.features if name not in self.hashes]
        if gone or changed:
            raise ModelError(
                "E_MODEL_DEFINITIONS",
                f"trained on {manifest.definitions_hash}; here {gone[:5]} are gone, {changed[:5]} changed",
                where, "train a model with the present features",
            )  # fmt: skip
        return [self.features.index(name) for name in manifest.features]


@contextmanager
def _as_model_errors() -> Iterator[None]:
    """Turn what a folder on a disk or a network may fail with into an error of ours."""
    try:
        yield
    except OSError as error:
        raise ModelError(
            "E_MODEL_FILE", f"cannot be read: {error.strerror or error}", str(error.filename),
            "see that this process can read the models' folder; it is tried again",
        ) from error  # fmt: skip


def definitions_of(project: RunningProject) -> Definitions:
    """Return what a project's vectors mean."""
    meant = service_meaning(project)
    decisions = project.decisions.names
    return Definitions(meant.hash, meant.columns, meant.features, project.service, decisions)


def load_champion(models: Path, champion: Champion, definitions: Definitions) -> LightGbmModel:
    """Return the model after every check: digests, definitions, structure, a trial elsewhere.

    Raises:
        ModelError: E_MODEL_* with the first check that failed.
    """
    folder = folder_of(models, champion)
    manifest = read_manifest(folder, champion.sha256)
    if (manifest.name, manifest.version) != (champion.name, champion.version):
        raise ModelError("E_MODEL_MANIFEST", "names another model", str(folder), "promote a version again")
    _check_thresholds(manifest, definitions.decisions, folder)
    columns = definitions.columns_of(manifest, str(folder))
    files = checked_files(folder, manifest)
    check_model_text(files[MODEL_FILE], list(manifest.features))
    golden = _golden(files[GOLDEN_FILE], folder, len(manifest.features))
    if golden.text_sha256 not in ("", digest(files[MODEL_FILE])):
        raise ModelError(
            "E_MODEL_GOLDEN", "the golden rows are of another text", str(folder / GOLDEN_FILE),
            "the present model stays; train again or promote another version",
        )  # fmt: skip
    text = files[MODEL_FILE].decode()
    note = note_of(models, files[MODEL_FILE], files[GOLDEN_FILE])
    if not note.exists():
        try_model(text, golden)
        remember(note)
    line = files.get(CALIBRATION_FILE)
    fitted = None if line is None else calibration.decode(line, str(folder / CALIBRATION_FILE))
    usual = files.get(BASELINE_FILE)
    known = None if usual is None else baseline.decode(usual, str(folder / BASELINE_FILE))
    return LightGbmModel(
        text,
        manifest,
        calibration=fitted,
        columns=columns,
        baseline=known,
        service=definitions.service,
    )


def _check_thresholds(manifest: Manifest, decisions: tuple[str, ...], folder: Path) -> None:
    """Refuse thresholds that are none of the project's decisions, where those are known."""
    try:
        if decisions:
            Thresholds(manifest.thresholds).limits(decisions)
    except ValueError as error:
        where = str(folder / MANIFEST_FILE)
        raise ModelError("E_MODEL_MANIFEST", str(error), where, "train the model again") from error


def _golden(data: bytes, folder: Path, width: int) -> Golden:
    where, again = str(folder / GOLDEN_FILE), "train the model again"
    try:
        golden = msgspec.json.decode(data, type=Golden)
    except NOT_JSON as error:
        raise ModelError("E_MODEL_GOLDEN", str(error), where, again) from error
    if not golden.vectors or len(golden.vectors) != len(golden.scores):
        raise ModelError("E_MODEL_GOLDEN", "no rows, or not one score a row", where, again)
    if any(len(row) != width for row in golden.vectors):
        raise ModelError("E_MODEL_GOLDEN", f"rows are not {width} wide", where, again)
    return golden


class ChampionWatch:
    """Looks at the release once an interval in a thread of its own; `current` and `live` never wait.

    What could be loaded of a new release is taken up at once and together; a refused champion leaves the
    present one, a refused canary or shadow is left out, and each is tried again after a while.

    Args:
        load: turns a pointer into a model (`load_champion`, bound), in the watching thread.
        listener: told each model that is live and each refusal, once.
        secret: releases must be signed with it, unless it is empty.
        watched: the watch's health and counts.
    """

    def __init__(
        self,
        models: Path,
        load: Callable[[Champion], Model],
        listener: ChampionListener,
        interval_s: float = 1.0,
        secret: str = "",
        watched: Watched | None = None,
    ) -> None:
        self._secret, self._watched = secret, watched or Watched("champion-watch")
        self._models, self._load, self._listener = models, load, listener
        self._interval_s = interval_s
        self._live = Live()
        self._seen: Release | None = None
        self._loaded: dict[Champion, Model] = {}
        self._told: set[str] = set()
        self._unreadable: set[str] = set()
        self._told_live: Champion | None = None
        self._refusal: ModelError | None = None  # of a version that the release in force names
        self._not_ready: Champion | None = None
        self._looks_to_retry = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="champion-watch", daemon=True)

    def start(self) -> None:
        """Load the present release, then watch for others."""
        self.look()
        self._thread.start()

    def close(self) -> None:
        """End the watching thread; a trial that runs ends with the process."""
        self._ended.set()

    def current(self) -> Model | None:
        """Return the champion, None while there is none."""
        return self._live.champion

    def live(self) -> Live:
        """Return champion, canary and shadows, all of one release."""
        return self._live

    def look(self) -> None:
        """Take up the release if it changed; what was refused of it is tried again after a while."""
        try:
            release = self._readable()
        except ModelError as error:
            self._watched.failed(error)
            self._unreadable.add(self._refuse(error, "release"))
            return
        self._told -= self._unreadable
        self._unreadable = set()
        self._looks_to_retry -= 1
        if release == self._seen and self._looks_to_retry != 0:
            self._keep_ready(release)
        else:
            self._take_up(release)
        if self._refusal is None:
            self._watched.succeeded()
        else:
            self._watched.failed(self._refusal)

    def _readable(self) -> Release:
        """Return the release in force.

        Raises:
            ModelError: E_MODEL_*, it cannot be read, or not be trusted.
        """
        with _as_model_errors():
            release = read_release(self._models)
            check_signature(release, self._secret, str(self._models / RELEASE_FILE))
            self._refuse_older(release)
            return release

    def _refuse_older(self, release: Release) -> None:
        """A release from before the one in force is a copy that somebody put back.

        Raises:
            ModelError: E_MODEL_ROLLBACK.
        """
        if self._seen is not None and release.revision < self._seen.revision:
            raise ModelError(
                "E_MODEL_ROLLBACK", f"revision {release.revision} after {self._seen.revision}", RELEASE_FILE,
                "go back with `headrace models rollback`, which is a revision of its own",
            )  # fmt: skip

    def _take_up(self, release: Release) -> None:
        """Publish what needs no loading first: a rollback, or a canary's end, waits for no other version."""
        self._seen, self._looks_to_retry = release, LOOKS_TO_RETRY
        self._publish(release)
        refused: dict[str, ModelError] = {}
        for pointer in release.pointers:
            self._load_once(pointer, refused)
        self._publish(release)
        self._told, self._refusal = set(refused), next(iter(refused.values()), None)
        if not refused:
            self._looks_to_retry = 0
        elif any(error.code == "E_MODEL_FILE" for error in refused.values()):
            self._looks_to_retry = LOOKS_TO_READ_AGAIN
        champion = self._loaded.get(release.champion) if release.champion is not None else None
        if champion is not None and self._told_live != release.champion:
            self._listener.model_live(champion.identity)
            log.info("model_live", name=champion.identity.name, version=champion.identity.version)
        self._told_live = None if champion is None else release.champion
        self._tell_others()
        self._forget(release)

    def _publish(self, release: Release) -> None:
        """Let those decide and score that are loaded; the present champion where the release's is not."""
        loaded, canary = self._loaded, release.canary
        champion = None if release.champion is None else loaded.get(release.champion)
        self._live = Live(
            champion or self._live.champion,
            None if canary is None or canary.model not in loaded else LiveCanary(
                staged(loaded[canary.model], "canary"), float(canary.share_percent), canary.since_ms
            ),
            tuple(staged(loaded[one], "shadow") for one in release.shadows if one in loaded),
        )  # fmt: skip

    def _load_once(self, pointer: Champion, refused: dict[str, ModelError]) -> None:
        """Load a version unless it is loaded; a refusal is told once."""
        if pointer in self._loaded:
            return
        try:
            with _as_model_errors():
                self._loaded[pointer] = self._load(pointer)
        except ModelError as error:
            refused[self._refuse(error, pointer.id)] = error
        self._watched.moved()

    def _tell_others(self) -> None:
        canary, shadows = self._live.canary, self._live.shadows
        if self._seen is not None and self._seen.revision:
            log.info(
                "release_live", revision=self._seen.revision, shadows=[id_of(model) for model in shadows],
                canary=None if canary is None else id_of(canary.model),
                share_percent=0.0 if canary is None else canary.share_percent,
            )  # fmt: skip

    def _keep_ready(self, release: Release) -> None:
        """Load the champion before, once nothing else is to be done: a rollback then has nothing to load."""
        for pointer in release.history[-1:]:
            if pointer in self._loaded or pointer == self._not_ready:
                continue
            try:
                with _as_model_errors():
                    self._loaded[pointer] = self._load(pointer)
            except ModelError as error:
                self._not_ready = pointer
                log.warning("rollback_not_ready", code=error.code, error=str(error))

    def _forget(self, release: Release) -> None:
        """Keep what is in service and the champion before, so that a rollback has nothing to load."""
        kept = {*release.pointers, *release.history[-1:]}
        self._loaded = {
            pointer: model for pointer, model in self._loaded.items()
            if pointer in kept or model is self._live.champion
        }  # fmt: skip

    def _refuse(self, error: ModelError, what: str) -> str:
        """Tell a refusal unless it was told before; return what it is remembered by."""
        refusal = f"{what}: {error}"
        if refusal in self._told:
            return refusal
        self._told.add(refusal)
        log.error("model_refused", code=error.code, error=str(error))
        self._listener.model_refused(error)
        return refusal

    def _watch(self) -> None:
        while not self._ended.wait(self._interval_s):
            self.look()
