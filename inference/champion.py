"""The champion, watched: a new one is checked off the event path and taken up at a batch boundary.

Whatever is wrong with a new version, the present model stays and the refusal is told and counted.
"""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from contracts.errors import ModelError
from features.service_meaning import service_meaning
from inference import calibration
from inference.drift import baseline
from inference.manifest import (
    BASELINE_FILE,
    CALIBRATION_FILE,
    GOLDEN_FILE,
    MODEL_FILE,
    Champion,
    Golden,
    Manifest,
    checked_files,
    folder_of,
    read_champion,
    read_manifest,
)
from inference.model import LightGbmModel, Model, ModelName
from inference.model_text import check_model_text
from inference.model_trial import try_model
from inference.trials import note_of, remember

LOOKS_TO_RETRY = 60  # a trial may have failed for want of time or memory

log = structlog.get_logger(__name__)


class ModelSource(Protocol):
    """Where the scorer gets the model of the next batch."""

    def current(self) -> Model | None:
        """Return the champion, None while there is none."""


class ChampionListener(Protocol):
    """Told what becomes of champions, in the watching thread."""

    def model_live(self, identity: ModelName) -> None:
        """Hear that the model scores from the next batch on."""

    def model_refused(self, error: ModelError) -> None:
        """Hear why a version was refused; the present model stays."""


class Definitions(msgspec.Struct, frozen=True):
    """What the vectors of this process mean; a model that needs what they do not have is refused.

    `hashes` says what each feature means, by name; without them only a model of the same hash is taken.
    """

    hash: str
    features: tuple[str, ...]
    hashes: Mapping[str, str] = {}

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


def our_definitions() -> Definitions:
    """Return what this process's vectors mean."""
    service = service_meaning()
    return Definitions(service.hash, service.columns, service.features)


def load_champion(models: Path, champion: Champion, definitions: Definitions) -> LightGbmModel:
    """Return the model after every check: digests, definitions, structure, a trial elsewhere.

    Raises:
        ModelError: E_MODEL_* with the first check that failed.
    """
    folder = folder_of(models, champion)
    manifest = read_manifest(folder, champion.sha256)
    if (manifest.name, manifest.version) != (champion.name, champion.version):
        raise ModelError("E_MODEL_MANIFEST", "names another model", str(folder), "promote a version again")
    columns = definitions.columns_of(manifest, str(folder))
    files = checked_files(folder, manifest)
    check_model_text(files[MODEL_FILE], list(manifest.features))
    golden = _golden(files[GOLDEN_FILE], folder, len(manifest.features))
    text = files[MODEL_FILE].decode()
    note = note_of(models, files[MODEL_FILE], files[GOLDEN_FILE])
    if not note.exists():
        try_model(text, golden)
        remember(note)
    line = files.get(CALIBRATION_FILE)
    fitted = None if line is None else calibration.decode(line, str(folder / CALIBRATION_FILE))
    usual = files.get(BASELINE_FILE)
    known = None if usual is None else baseline.decode(usual, str(folder / BASELINE_FILE))
    return LightGbmModel(text, manifest, calibration=fitted, columns=columns, baseline=known)


def _golden(data: bytes, folder: Path, width: int) -> Golden:
    where, again = str(folder / GOLDEN_FILE), "train the model again"
    try:
        golden = msgspec.json.decode(data, type=Golden)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ModelError("E_MODEL_GOLDEN", str(error), where, again) from error
    if not golden.vectors or len(golden.vectors) != len(golden.scores):
        raise ModelError("E_MODEL_GOLDEN", "no rows, or not one score a row", where, again)
    if any(len(row) != width for row in golden.vectors):
        raise ModelError("E_MODEL_GOLDEN", f"rows are not {width} wide", where, again)
    return golden


class ChampionWatch:
    """Looks at champion.json once an interval in a thread of its own; `current` never waits.

    Args:
        load: turns a pointer into a model (`load_champion`, bound), in the watching thread.
        listener: told each model that is live and each refusal, once.
    """

    def __init__(
        self,
        models: Path,
        load: Callable[[Champion], Model],
        listener: ChampionListener,
        interval_s: float = 1.0,
    ) -> None:
        self._models, self._load, self._listener = models, load, listener
        self._interval_s = interval_s
        self._model: Model | None = None
        self._seen: Champion | str | None = None
        self._refused = ""
        self._looks_to_retry = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="champion-watch", daemon=True)

    def start(self) -> None:
        """Load the present champion, then watch for others."""
        self.look()
        self._thread.start()

    def close(self) -> None:
        """End the watching thread; a trial that runs ends with the process."""
        self._ended.set()

    def current(self) -> Model | None:
        """Return the champion, None while there is none."""
        return self._model

    def look(self) -> None:
        """Take up the champion if the pointer changed; a refused one is tried again after a while."""
        try:
            champion = read_champion(self._models)
        except ModelError as error:
            self._refuse(error, seen=str(error))
            return
        self._looks_to_retry -= 1
        if champion is None or (champion == self._seen and self._looks_to_retry != 0):
            return
        self._seen = champion
        try:
            model = self._model = self._load(champion)
        except ModelError as error:
            self._looks_to_retry = LOOKS_TO_RETRY
            self._refuse(error, seen=champion)
            return
        self._refused, self._looks_to_retry = "", 0
        self._listener.model_live(model.identity)
        log.info("model_live", name=champion.name, version=champion.version)

    def _refuse(self, error: ModelError, seen: Champion | str) -> None:
        if self._refused == str(error):
            return
        self._seen, self._refused = seen, str(error)
        log.error("model_refused", code=error.code, error=str(error))
        self._listener.model_refused(error)

    def _watch(self) -> None:
        while not self._ended.wait(self._interval_s):
            self.look()
