"""A scorer's hand in the registry: withdraws and grows canaries, and leaves its counts beside the models.

Everything here happens in a thread of its own: a registry that is slow, locked or read-only never holds a
event up. What could not be done is tried again at the next look; until then the scorer that asked for it
goes on without the canary.
"""

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import structlog

from contracts.errors import ModelError
from inference.release.canary import Z_95, Breach
from inference.release.live import LiveCanary, id_of
from inference.release.live_evidence import (
    EVIDENCE_FOLDER,
    Figures,
    FolderEvidence,
    Report,
    read_report,
    write_report,
)
from inference.release.mlflow_client import UNREACHABLE
from inference.release.registry import Change, Registry
from inference.release.registry_store import FolderStore, RegistryStore
from inference.release.release import Canary, Release, read_release
from inference.release.settings import CanarySettings
from runtime.clock import Clock
from runtime.watched import Watched

WRITE_S = 2.0  # how often the counts are written, when they changed

log = structlog.get_logger(__name__)

Wish = Callable[[], None]


class ReleaseKeeper:
    """Makes a scorer's changes to the release, each a compare-and-set on the canary that it is about.

    Args:
        source: name of the scorer, as the audit and the evidence have it.
        store: the registry's back end; by default the models' folder. It is asked when the release is to be
            changed, and at no other time.
        watched: the keeper's health and counts.
    """

    def __init__(
        self,
        models: Path,
        source: str,
        settings: CanarySettings,
        clock: Clock,
        store: RegistryStore | None = None,
        watched: Watched | None = None,
    ) -> None:
        self._watched = watched or Watched("release-keeper")
        self._models, self._source, self._settings, self._clock = models, source, settings, clock
        self._registry = Registry(models, FolderStore(models) if store is None else store)
        self._evidence = FolderEvidence(models)
        self._wishes: queue.SimpleQueue[Wish | None] = queue.SimpleQueue()
        self._waiting: list[Wish] = []
        self._lock = threading.Lock()
        before = read_report(models / EVIDENCE_FOLDER / f"{source}.json")
        self._counts: dict[str, Figures] = dict(before.models) if before else {}
        self._changed = False
        self._logged = ""
        self._thread = threading.Thread(target=self._run, name="release-keeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Do what was wished for so far, write the counts, and end."""
        self._wishes.put(None)
        if self._thread.is_alive():
            self._thread.join(10.0)

    def withdraw(self, canary: LiveCanary, breach: Breach) -> None:
        """Take the canary out of service, for all scorers."""
        about = {"guardrail": breach.guardrail, "value": breach.value, "limit": breach.limit,
                 "decisions": breach.decisions}  # fmt: skip
        self._wishes.put(lambda: self._retire(id_of(canary.model), canary.since_ms, str(breach), about))

    def grow(self, canary: LiveCanary, share_percent: float) -> None:
        """Let the canary decide for more keys."""
        self._wishes.put(lambda: self._share(canary, share_percent))

    def count(self, version_id: str, scores: int, errors: int) -> None:
        """Add to a version's live figures."""
        with self._lock:
            found = self._counts.get(version_id, Figures())
            self._counts[version_id] = found.plus(Figures(scores=scores, errors=errors))
            self._changed = True

    def look(self) -> None:
        """Write the counts, and judge what does not come with a batch, the matured labels."""
        self._write()
        self._judge_labels()

    def _run(self) -> None:
        while True:
            try:
                wish = self._wishes.get(timeout=WRITE_S)
            except queue.Empty:
                wish = self.look
            self._attempt([*self._waiting, wish] if wish is not None else [self.look, *self._waiting])
            if wish is None:
                return

    def _attempt(self, wishes: list[Wish]) -> None:
        self._waiting = []
        failed: ModelError | None = None
        for wish in wishes:
            try:
                wish()
            except _DoneError as error:  # nothing is left to do
                self._not_changed(error)
            except ModelError as error:  # somebody was faster, or the registry is damaged or away
                self._not_changed(error)
                overtaken = error.code == "E_RELEASE_CHANGED"
                if (overtaken or error.code == UNREACHABLE) and wish != self.look:
                    self._waiting.append(wish)
                failed = error
            except OSError as error:
                failed = ModelError("E_RELEASE_WRITE", str(error), str(self._models), "it is tried again")
                self._not_changed(failed)
                if wish != self.look:
                    self._waiting.append(wish)
        if failed is None:
            self._watched.succeeded()
            self._logged = ""
        else:
            self._watched.failed(failed)

    def _not_changed(self, error: ModelError) -> None:
        """Log why a change was not made; the same reason again is counted and not logged."""
        if self._logged != str(error):
            self._logged = str(error)
            log.warning("release_not_changed", code=error.code, why=str(error))

    def _retire(self, version_id: str, since_ms: int, why: str, about: dict[str, Any]) -> None:
        def move(release: Release) -> Release:
            _still(release, version_id, since_ms)
            return release.is_retired(version_id)

        self._change("canary_withdrawn", move, why, about)

    def _share(self, canary: LiveCanary, share_percent: float) -> None:
        def move(release: Release) -> Release:
            now = _still(release, id_of(canary.model), canary.since_ms)
            if now.share_percent >= share_percent:
                raise _overtaken(f"it has {now.share_percent:g} percent already")
            return release.canary_is(msgspec.structs.replace(now, share_percent=share_percent))

        why = f"{canary.share_percent:g} percent held its guardrails"
        self._change("canary_grown", move, why, {"share_percent": share_percent})

    def _change(
        self, action: str, move: Callable[[Release], Release], why: str, about: dict[str, Any]
    ) -> None:
        """Make a move about the present canary; the audit's row names it, gone or not."""
        canary = self._registry.release().canary
        change = Change(who=self._source, at_ms=int(self._clock.now_ms()), why=why)
        self._registry.change(action, move, change, model=canary.model if canary else None, **about)

    def _judge_labels(self) -> None:
        release = read_release(self._models)  # what this scorer acts on; the change itself looks again
        canary, champion = release.canary, release.champion
        if canary is None or champion is None:
            return
        mine, theirs = self._evidence.of(canary.model.id), self._evidence.of(champion.id)
        breach = _worse_by_labels(mine, theirs, self._settings)
        if breach is not None:
            about: dict[str, Any] = {
                "guardrail": breach.guardrail, "value": breach.value, "limit": breach.limit,
            }  # fmt: skip
            self._retire(canary.model.id, canary.since_ms, str(breach), about)

    def _write(self) -> None:
        with self._lock:
            if not self._changed:
                return
            self._changed, counts = False, dict(self._counts)
        try:
            write_report(
                self._models, Report(source=self._source, at_ms=int(self._clock.now_ms()), models=counts)
            )
        except OSError:
            with self._lock:
                self._changed = True  # the next look writes them
            raise


def _worse_by_labels(mine: Figures, theirs: Figures, settings: CanarySettings) -> Breach | None:
    """Return what matured labels break.

    A canary that flags nothing has no precision; what it let pass is known all the same.
    """
    if mine.precision is not None and theirs.precision is not None and mine.labels >= settings.labels_min:
        worse_by = theirs.precision - mine.precision
        if worse_by > settings.precision_worse_by:
            return Breach("precision_worse_by", worse_by, settings.precision_worse_by, mine.labels)
    if mine.recall is not None and theirs.recall is not None:
        worse_by = theirs.recall - mine.recall
        variance = sum(one.recall * (1 - one.recall) / one.positives for one in (mine, theirs) if one.recall)
        if worse_by - Z_95 * variance**0.5 > settings.recall_worse_by:
            return Breach("recall_worse_by", worse_by, settings.recall_worse_by, mine.positives)
    return None


class _DoneError(ModelError):
    """What was wished for is done already, or there is nothing to do it to any more."""


def _still(release: Release, version_id: str, since_ms: int) -> Canary:
    """Return the canary in force.

    Raises:
        ModelError: E_RELEASE_CHANGED, it is another one or none.
    """
    canary = release.canary
    if canary is None or (canary.model.id, canary.since_ms) != (version_id, since_ms):
        raise _overtaken(f"{version_id} is not canary any more")
    return canary


def _overtaken(what: str) -> ModelError:
    return _DoneError("E_RELEASE_CHANGED", what, "release.json", "nothing: another scorer or person did it")
