"""The secrets with which personal keys are hashed: one file for all processes of a run.

    [{"version": 1, "from_ms": 0, "secret": "6e3f…"}]     the secret in hexadecimal, 16 to 64 bytes

`HEADRACE_KEY_FILE` names it; else it is `personal_keys.json` in the run's home, which `headrace up` makes. A
version that records were hashed with never changes; a new one holds from its time on.
"""

import os
import secrets
from pathlib import Path

import msgspec

from contracts.errors import ConfigError
from contracts.hashed_fields import HashKey, HashKeys, check_keys
from contracts.pipeline import Pipeline
from runtime.atomic_file import PRIVATE, create_file
from runtime.run import Run

NAMED = "HEADRACE_KEY_FILE"
FILE = "personal_keys.json"
SECRET_BYTES = 32


class _Version(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    from_ms: int
    secret: str


def key_file(run: Run) -> Path:
    """Return where the secrets of a run are."""
    named = os.environ.get(NAMED)
    return Path(named) if named else run.home / FILE


def keys_for(pipeline: Pipeline, run: Run) -> HashKeys | None:
    """Return the secrets of a run; None for records of which nothing is hashed.

    Raises:
        ConfigError: E_HASH_KEY_NONE, there are none; E_HASH_KEY_FILE, they cannot be read or used.
    """
    if not any(source.hashed for source in pipeline.sources):
        return None
    path = key_file(run)
    found = read_keys(path) if path.exists() else None
    check_keys(pipeline, found)
    return found


def make_keys(pipeline: Pipeline, run: Run) -> None:
    """Make a secret for a run whose records need one and that has none; its owner alone may read it."""
    path = key_file(run)
    if any(source.hashed for source in pipeline.sources) and not path.exists():
        made = [_Version(1, 0, secrets.token_hex(SECRET_BYTES))]
        create_file(path, msgspec.json.encode(made) + b"\n", mode=PRIVATE)


def read_keys(path: Path) -> HashKeys:
    """Return the secrets of a file.

    Raises:
        ConfigError: E_HASH_KEY_FILE.
    """
    try:
        said = msgspec.json.decode(path.read_bytes(), type=list[_Version])
        keys = tuple(
            HashKey(version=o.version, from_ms=o.from_ms, secret=bytes.fromhex(o.secret)) for o in said
        )
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise ConfigError(
            "E_HASH_KEY_FILE", f"cannot be used: {type(error).__name__}", str(path),
            "correct the file (docs/projects.md)",
        ) from None  # fmt: skip  # the error's text may hold a secret
    return HashKeys(keys)
