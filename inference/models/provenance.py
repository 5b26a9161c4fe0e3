"""Where a model comes from: the commit and the locked packages of this checkout."""

import subprocess
from pathlib import Path

import msgspec

from inference.models.manifest import digest

CHECKOUT = Path(__file__).resolve().parents[2]
LOCK_FILE = "requirements.lock"


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Commit and lock file; empty where the code does not run from a checkout.

    `changed` says that files differed from the commit.
    """

    git_commit: str = ""
    changed: bool = False
    lock_hash: str = ""

    @classmethod
    def of(cls, checkout: Path = CHECKOUT) -> "Provenance":
        """Return what the checkout says."""
        lock = checkout / LOCK_FILE
        return cls(
            git_commit=_git(checkout, "rev-parse", "HEAD"),
            changed=bool(_git(checkout, "status", "--porcelain", "--untracked-files=no")),
            lock_hash=digest(lock.read_bytes()) if lock.exists() else "",
        )


def _git(checkout: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=checkout, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""  # no git on this machine: the manifest says so by an empty commit
    return done.stdout.strip() if done.returncode == 0 else ""
