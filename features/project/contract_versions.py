"""All versions of a source's contract: files of one id that lie side by side, each in force from its time."""

from collections.abc import Iterator
from pathlib import Path

from contracts.contract_file import read_contract
from contracts.contract_version import ContractVersion
from features.declare import WrittenAt
from features.project.problems import Problems


def older_versions(path: Path, newest: ContractVersion, problems: Problems) -> tuple[ContractVersion, ...]:
    """Return the versions that were in force before a source's contract, oldest first.

    Notes E_ODCS_VERSION where one is in force from the same time or later, says another type of a field, or
    has not the times by which records count.
    """
    found = tuple(_beside(path, newest, problems))
    for version in found:
        if version.effective_from_ms >= newest.effective_from_ms:
            _note(version, f"is in force when {Path(newest.file).name} is, which the source names", problems)
        for field in version.fields:
            now = newest.by_name.get(field.name)
            if now and (now.type, now.scale, now.column) != (field.type, field.scale, field.column):
                what = f"says of {field.name!r} {field.type} where version {newest.version} says {now.type}"
                _note(version, what, problems)
        for name in {newest.event_time, newest.known_at} - {""}:
            if name not in (version.event_time, version.known_at):
                _note(version, f"has no time {name!r}, by which records count now", problems)
    times = [version.effective_from_ms for version in found]
    for version in found:
        if times.count(version.effective_from_ms) > 1:
            _note(version, "is in force from the same time as another", problems)
    return tuple(sorted(found, key=lambda version: version.effective_from_ms))


def _beside(path: Path, newest: ContractVersion, problems: Problems) -> Iterator[ContractVersion]:
    """Yield the versions of a contract in the other files of its folder."""
    for other in sorted(path.parent.glob("*.yaml")):
        if other == path:
            continue
        read = read_contract(other)
        if read.version and (read.version.contract, read.version.topic) == (newest.contract, newest.topic):
            problems.found += [problem for problem in read.problems if problem not in problems.found]
            yield read.version


def _note(version: ContractVersion, what: str, problems: Problems) -> None:
    problems.note(
        WrittenAt(version.file, 1),
        "E_ODCS_VERSION",
        f"version {version.version!r} {what}",
        "give each version an effectiveFrom of its own and each field one type, and name the newest file",
    )
