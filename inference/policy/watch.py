"""The policy in force, watched: a new file is checked off the event path and taken up at a batch boundary.

Whatever is wrong with a new file, or with reading it, the present policy stays, the refusal is logged and
counted, and the next good file is taken up.
"""

import threading
from pathlib import Path
from typing import Protocol

import structlog

from contracts.errors import ConfigError
from features.project.running import RunningProject
from inference.policy.policy import NO_POLICY, DeclaredPolicy, policy_bytes, policy_of
from inference.policy.store import keep, last_live, place_of
from runtime.watched import Watched

log = structlog.get_logger(__name__)


class PolicySource(Protocol):
    """Where the scorer gets the policy of the next batch."""

    def current(self) -> DeclaredPolicy:
        """Return the policy in force."""


class PolicyListener(Protocol):
    """Told what becomes of policies, in the watching thread."""

    def policy_live(self, declared: DeclaredPolicy) -> None:
        """Hear that the policy decides from the next batch on."""

    def policy_refused(self, error: ConfigError) -> None:
        """Hear why a file was refused; the present policy stays."""


class FixedPolicy:
    """One policy for ever.

    >>> from features.project.running import project_at
    >>> from inference.policy.policy import read_policy
    >>> logins = project_at("examples/logins")
    >>> FixedPolicy(read_policy(logins.policy_path, logins)).current().policy.name
    'default'
    """

    def __init__(self, declared: DeclaredPolicy) -> None:
        self._declared = declared

    def current(self) -> DeclaredPolicy:
        """Return the policy."""
        return self._declared


class PolicyWatch:
    """Looks at the policy's file once an interval in a thread of its own; `current` never waits.

    Args:
        project: whose policy it is.
        models: the registry's folder, in which live policies are kept.
        file: the policy's file; None means the registry's own, or the project's.
        keeping: whether a policy is kept for replays before it decides; not where nothing is recorded.
        watched: the watch's health and counts.
    """

    def __init__(
        self, project: RunningProject, models: Path, file: Path | None, listener: PolicyListener,
        interval_s: float = 1.0, keeping: bool = True, watched: Watched | None = None,
    ) -> None:  # fmt: skip
        self._keeping, self._watched = keeping, watched or Watched("policy-watch")
        self._project, self._models, self._file, self._listener = project, models, file, listener
        self._interval_s = interval_s
        self._declared: DeclaredPolicy | None = None
        self._understood: tuple[Path, bytes, DeclaredPolicy | ConfigError] | None = None
        self._refused = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="policy-watch", daemon=True)

    def start(self) -> None:
        """Read the policy, then watch its file. One that is refused leaves the last live policy in force.

        Raises:
            ConfigError: as `read_policy`, and no policy was live here before.
        """
        error = self.look()
        if self._declared is None:
            self._declared = last_live(self._models, self._project)
            if self._declared is None:
                raise error or ConfigError("E_POLICY_FILE", "no policy", str(self._file))
            self._listener.policy_live(self._declared)
        self._thread.start()

    def close(self) -> None:
        """End the watching thread."""
        self._ended.set()

    def current(self) -> DeclaredPolicy:
        """Return the policy in force."""
        if self._declared is None:
            raise ConfigError("E_POLICY_FILE", "no policy was read yet", str(self._file), "start the watch")
        return self._declared

    def look(self) -> ConfigError | None:
        """Take up the file if it changed; return why it was refused."""
        try:
            declared = self._read()
            is_new = self._declared is None or declared.sha256 != self._declared.sha256
            if is_new and self._keeping:
                keep(self._models, declared)
        except ConfigError as error:
            return self._refuse(error)
        except OSError as error:
            return self._refuse(
                ConfigError("E_POLICY_FILE", f"cannot be read: {error.strerror}", str(error.filename))
            )
        self._refused = ""
        self._watched.succeeded()
        if is_new:
            self._take_up(declared)
        return None

    def _read(self) -> DeclaredPolicy:
        """Return the policy that is there now; the same bytes in the same place are understood once."""
        path = place_of(self._models, self._file, self._project)
        data = policy_bytes(path, self._project)
        if data is None:
            return NO_POLICY
        if self._understood is None or self._understood[:2] != (path, data):
            self._understood = (path, data, self._understand(data, path))
        found = self._understood[2]
        if isinstance(found, ConfigError):
            raise found
        return found

    def _understand(self, data: bytes, path: Path) -> DeclaredPolicy | ConfigError:
        try:
            return policy_of(data, path, self._project)
        except ConfigError as error:
            return error

    def _take_up(self, declared: DeclaredPolicy) -> None:
        self._declared = declared
        self._listener.policy_live(declared)
        log.info(
            "policy_live", name=declared.policy.name, version=declared.policy.version, sha256=declared.sha256
        )

    def _refuse(self, error: ConfigError) -> ConfigError:
        self._watched.failed(error)
        if self._refused != str(error):
            self._refused = str(error)
            log.error("policy_refused", code=error.code, error=str(error))
            self._listener.policy_refused(error)
        return error

    def _watch(self) -> None:
        while not self._ended.wait(self._interval_s):
            self.look()
