"""Every policy that was ever live, by digest, beside the models: what a replay finds its policy in.

<models>/policy.yaml             the policy in force, where no other file is named
<models>/.policies/<sha256>.yaml a policy that was live, byte for byte; never changed
<models>/.policies/live          the digest of the last one
"""

import re
from collections.abc import Mapping
from pathlib import Path

from contracts.errors import ConfigError, StateError
from features.project.running import RunningProject
from inference.models.manifest import digest
from inference.policy.policy import DeclaredPolicy, ReasonText, policy_of, read_policy
from runtime.atomic_file import replace_file

FOLDER = ".policies"
LIVE_FILE = "live"
POLICY_FILE = "policy.yaml"
_DIGEST = re.compile("[0-9a-f]{64}")
_NAME_BYTES_MAX = 128


def place_of(models: Path, named: Path | None, project: RunningProject) -> Path:
    """Return the file of the policy in force: the named one, the registry's, or the project's."""
    if named is not None:
        return named
    own = models / POLICY_FILE
    return own if own.exists() else project.policy_path


def texts_of(declared: DeclaredPolicy, project: RunningProject) -> Mapping[str, ReasonText]:
    """Return a policy's reason texts; of one that has none, those of the project's own policy.

    Raises:
        ConfigError: as `read_policy`.
    """
    own, file = declared.policy.reasons.texts, project.policy_file
    if own or file is None or declared.where == str(file):
        return own
    return read_policy(file, project).policy.reasons.texts


def keep(models: Path, declared: DeclaredPolicy) -> None:
    """Keep a policy for replays, before it decides anything; there is nothing to keep of none.

    Raises:
        ConfigError: E_POLICY_STORE, the folder cannot be written.
    """
    if declared.used is None:
        return
    folder = models / FOLDER
    try:
        copy(folder, declared)
        replace_file(folder / LIVE_FILE, declared.sha256.encode())
    except OSError as error:
        raise ConfigError(
            "E_POLICY_STORE", f"a policy that goes live must be kept: {error.strerror}", str(folder),
            "make the folder writable to the scorer",
        ) from error  # fmt: skip


def copy(folder: Path, declared: DeclaredPolicy) -> None:
    """Write a policy's bytes under its digest, once.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{declared.sha256}.yaml"
    if not path.exists():
        replace_file(path, declared.data)


def last_live(models: Path, project: RunningProject) -> DeclaredPolicy | None:
    """Return the policy that was last live here; None where none was, or it cannot be read."""
    try:
        named = (models / FOLDER / LIVE_FILE).read_bytes()[:_NAME_BYTES_MAX].decode(errors="replace").strip()
        return find(models, named, project) if _DIGEST.fullmatch(named) else None
    except (OSError, StateError):
        return None


def find(models: Path, sha256: str, project: RunningProject) -> DeclaredPolicy:
    """Return the policy of that digest: one that was live, or the project's own.

    Raises:
        StateError: E_POLICY_UNKNOWN, no such policy is kept; E_POLICY_DAMAGED.
    """
    path = models / FOLDER / f"{sha256}.yaml"
    if not path.exists():
        default = read_policy(project.policy_path, project)
        if default.sha256 == sha256:
            return default
        raise StateError(
            "E_POLICY_UNKNOWN", f"no policy {sha256[:16]}… was live here", str(path.parent),
            "copy the file from the machine whose scorer used it",
        )  # fmt: skip
    data = path.read_bytes()
    if digest(data) != sha256:
        raise StateError("E_POLICY_DAMAGED", "is not what its name says", str(path), "restore it from a copy")
    try:
        return policy_of(data, path, project)
    except ConfigError as error:
        raise StateError(
            "E_POLICY_UNKNOWN", f"this code cannot read it: {error.what}", str(path),
            "use the code that was live with it",
        ) from error  # fmt: skip
