"""A project in the words of a run's file, and what a run makes of it: `runtime.run_project` compares them."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from contracts.errors import ConfigError
from contracts.pipeline import SourceStream
from contracts.topics import PARTITIONS
from features.definition import definitions_hash
from features.meaning import meaning_of
from features.project.running import RunningProject, project_of_process
from features.project.service import service_of
from runtime.project_folder import INSTALLED
from runtime.run import Run
from runtime.run_project import RunProject, admit, note_project, project_of_run, refuse_stranger


def described(project: RunningProject) -> RunProject:
    """Return what a run remembers of a project.

    >>> from features.project.running import project_at
    >>> sorted(described(project_at("examples/logins")).parts)[:3]
    ['chain', 'contract of logins', 'contract of resets']
    """
    return RunProject(name=project.name, folder=str(project.folder), parts=dict(_parts(project)))


def admit_project(run: Run) -> None:
    """Refuse to work on a run whose project is not this process's.

    Raises:
        ConfigError: E_RUN_PROJECT, or as `running_project`.
        StateError: E_PROJECT_CHANGED.
    """
    admit(run.home, described(project_of_process()))


def adopt_project(run: Run) -> list[str]:
    """Let a run go on with the project as it is now; return what differs from before, in words.

    Raises:
        ConfigError: E_RUN_PROJECT.
    """
    now, known = described(project_of_process()), project_of_run(run.home)
    if known is not None:
        refuse_stranger(run.home, known, now)
    note_project(run.home, now)
    return known.differences(now) if known is not None else []


def own_run(root: Path, partitions: int | None = None) -> Run:
    """Return the run of this process's project that needs no name, made where it is not there.

    The installed project's is called main, and its topics have no prefix; another's is called like it, and
    so do its own topics begin.

    Args:
        partitions: of each topic, for a new run; None for the default.

    Raises:
        ConfigError: E_RUN_EXISTS, it is there with other partitions.
    """
    project = project_of_process()
    named = ("main", "") if project.folder == INSTALLED else (project.name, project.keyspace)
    run = Run.main(root, *named, partitions=partitions or PARTITIONS)
    if partitions not in (None, run.partitions):
        raise ConfigError(
            "E_RUN_EXISTS", f"the run is there already, with {run.partitions} partitions a topic",
            str(run.home), "leave --partitions out, or take another HEADRACE_ROOT",
        )  # fmt: skip
    return run


def fresh_run(root: Path, name: str, partitions: int) -> Run:
    """Make a run of this process's project.

    Raises:
        ConfigError: E_RUN_EXISTS, E_RUN_DATABASES, or as `running_project`.
    """
    project = project_of_process()
    run = Run.create(root, name, partitions=partitions, project=project.keyspace)
    admit(run.home, described(project))
    return run


def _parts(project: RunningProject) -> Iterator[tuple[str, str]]:
    chain = project.pipeline.chain
    yield "chain", _hash(*((link.name, link.fields) for link in chain.links))
    for source in project.pipeline.sources:
        yield f"contract of {source.name}", _contract(source)
    for entity in project.entities:
        yield f"entity {entity.name}", meaning_of(entity).hash
    for view in project.batch_views:
        yield f"batch view {view.name}", definitions_hash(view)
    if project.model is not None:
        yield f"model {project.model.name}", definitions_hash(service_of(project.model))


def _contract(source: SourceStream) -> str:
    """Return the hash of all that is asked of a source's records."""
    of_source = (source.number, source.role, source.time, source.ids, source.deduplicate_ms)
    versions = ((each.contract, each.version, each.key_field, each.fields) for each in source.versions)
    return _hash(of_source, sorted(source.hashed), *versions)


def _hash(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
