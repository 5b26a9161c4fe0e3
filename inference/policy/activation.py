"""Putting a policy in force on a registry's folder, by whom, when and why, and going back.

<models>/.policies/audit.ndjson  who put what in force, appended to before it is; never rewritten

A file that somebody put in place by hand has no row: what was found in force is in the next one (`before`).
"""

from pathlib import Path
from typing import Literal

import msgspec

from contracts.errors import ConfigError, StateError
from features.project.running import RunningProject
from inference.policy.policy import DeclaredPolicy, read_policy
from inference.policy.store import FOLDER, POLICY_FILE, copy, find, keep, place_of
from inference.release.registry import Change
from runtime.atomic_file import append_line, replace_file
from runtime.file_lock import locked

AUDIT_FILE = "audit.ndjson"
LOCK_FILE = ".lock"


class Activation(msgspec.Struct, frozen=True, kw_only=True):
    """One change of the policy in force; digests are of files, `before` is empty where none was readable."""

    at_ms: int
    who: str
    why: str
    action: Literal["activate", "rollback"]
    name: str
    version: str
    sha256: str
    before: str


def activate(models: Path, declared: DeclaredPolicy, change: Change, project: RunningProject) -> Activation:
    """Put a policy in force and return the audit's row.

    Raises:
        ConfigError: E_POLICY_STORE, the folder cannot be written.
    """
    return _changed(models, declared, change, "activate", project)


def rollback(models: Path, change: Change, project: RunningProject) -> Activation:
    """Put the policy in force that was before the present one, and return the audit's row.

    Raises:
        StateError: E_POLICY_HISTORY, none was before it; E_POLICY_UNKNOWN or E_POLICY_DAMAGED, it cannot be
            read any more.
        ConfigError: E_POLICY_STORE.
    """
    present = _present(models, project)
    earlier = [sha256 for sha256 in _stack(audit(models)) if present is None or sha256 != present.sha256]
    if not earlier:
        raise StateError(
            "E_POLICY_HISTORY", "no policy was in force here before the present one",
            str(models / FOLDER / AUDIT_FILE), "put one in force with `headrace policy activate FILE`",
        )  # fmt: skip
    return _changed(models, find(models, earlier[-1], project), change, "rollback", project)


def audit(models: Path) -> list[Activation]:
    """Return the changes of the policy in force, oldest first.

    Raises:
        StateError: E_POLICY_AUDIT, a line of the file is damaged.
    """
    path = models / FOLDER / AUDIT_FILE
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines() if path.exists() else [], 1):
        try:
            rows.append(msgspec.json.decode(line, type=Activation))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StateError(
                "E_POLICY_AUDIT", str(error), f"{path}, line {number}", "restore the file, or remove the line"
            ) from error
    return rows


def _changed(
    models: Path, declared: DeclaredPolicy, change: Change, action: Literal["activate", "rollback"],
    project: RunningProject,
) -> Activation:  # fmt: skip
    present = _present(models, project)
    row = Activation(
        at_ms=change.at_ms, who=change.who, why=change.why, action=action, name=declared.policy.name,
        version=declared.policy.version, sha256=declared.sha256,
        before="" if present is None else present.sha256,
    )  # fmt: skip
    folder = models / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / LOCK_FILE):
            if present is not None:
                copy(folder, present)
            keep(models, declared)
            append_line(folder / AUDIT_FILE, msgspec.json.encode(row))
            replace_file(models / POLICY_FILE, declared.data)
    except OSError as error:
        raise ConfigError(
            "E_POLICY_STORE", f"a policy that goes live must be kept: {error.strerror}", str(folder),
            "make the folder writable to you",
        ) from error  # fmt: skip
    return row


def _present(models: Path, project: RunningProject) -> DeclaredPolicy | None:
    """Return the policy that the folder's file has, or the project's; None where it cannot be read."""
    try:
        return read_policy(place_of(models, None, project), project)
    except ConfigError:
        return None  # what cannot be read is in force nowhere


def _stack(rows: list[Activation]) -> list[str]:
    """Return what may be gone back to, the present one last: a rollback takes away what it left."""
    stack: list[str] = []
    for row in rows:
        if row.action == "rollback" and len(stack) > 1:
            stack = stack[: len(stack) - 1]
            continue
        stack += [sha256 for sha256 in (row.before, row.sha256) if sha256 and stack[-1:] != [sha256]]
    return stack
