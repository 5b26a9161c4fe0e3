"""Which project a run is of, in a file of its folder: another one, or one that has changed, is refused.

State, models and topics of a run were made under the definitions of one project. Whoever starts a worker
compares those with the ones that it has read, before it does anything: so no two workers of a run can be of
different definitions without somebody having said that this may be.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from contracts.errors import ConfigError, StateError
from runtime.atomic_file import replace_file

FILE = "project.json"


class RunProject(msgspec.Struct, frozen=True, kw_only=True):
    """A project as a run knows it: `parts` are hashes of what it consists of, by what a person calls it.

    >>> RunProject(name="shop", folder="/srv/shop", parts={"entity user": "1f"}).differences(
    ...     RunProject(name="shop", folder="/srv/shop", parts={"entity user": "2e", "model": "0a"}))
    ['entity user is another', 'model is new']
    """

    name: str
    folder: str
    parts: Mapping[str, str]

    def differences(self, now: "RunProject") -> list[str]:
        """Return in words what a later form of the project has otherwise."""
        found = []
        for part in dict.fromkeys([*self.parts, *now.parts]):
            before, after = self.parts.get(part), now.parts.get(part)
            if before != after:
                what = "is new" if before is None else "is gone" if after is None else "is another"
                found.append(f"{part} {what}")
        return found


def project_of_run(home: Path) -> RunProject | None:
    """Return the project of the run that lives in a folder; None while no worker of it was started.

    Raises:
        ConfigError: E_RUN_FILE, the file cannot be read.
    """
    path = home / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=RunProject)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise ConfigError("E_RUN_FILE", f"the run's file is damaged: {error}", str(path)) from error


def note_project(home: Path, project: RunProject) -> None:
    """Say from now on that a run is of this project, in this form."""
    replace_file(home / FILE, msgspec.json.format(msgspec.json.encode(project)))


def admit(home: Path, project: RunProject) -> None:
    """Refuse a project that is not the run's; a run without one takes this.

    Raises:
        ConfigError: E_RUN_PROJECT, the run is another project's; E_RUN_FILE.
        StateError: E_PROJECT_CHANGED, with everything that differs.
    """
    known = project_of_run(home)
    if known is None:
        note_project(home, project)
        return
    refuse_stranger(home, known, project)
    if changed := known.differences(project):
        raise StateError(
            "E_PROJECT_CHANGED", f"the run began with another form of the project: {', '.join(changed)}",
            project.folder,
            "put the folder back, or stop the workers: `headrace backfill --warm` hands state over to it,"
            " `headrace runs adopt` takes it where no entity has changed, and a new run begins with it",
        )  # fmt: skip


def refuse_stranger(home: Path, known: RunProject, project: RunProject) -> None:
    """Refuse a run that another project owns.

    Raises:
        ConfigError: E_RUN_PROJECT.
    """
    if known.name != project.name:
        raise ConfigError(
            "E_RUN_PROJECT", f"the run is of the project {known.name}, this is {project.name}", str(home),
            f"name a run of {project.name} with --run, or the run's project: --project {known.folder}",
        )  # fmt: skip
