"""Kafka's jars: named and checksummed in `kafka.lock`, fetched once from Maven Central, always checked.

Where Maven Central is, the `jgo` package knows; HEADRACE_MAVEN_REPOSITORY names a mirror of it.
"""

import hashlib
import os
import shutil
import ssl
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from contracts.errors import ClusterError
from runtime.atomic_file import move_into_place

LOCK = Path(__file__).parent / "kafka.lock"
THREADS = 8
ATTEMPTS = 3


class Jar(NamedTuple):
    """One line of the lock."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        """Return the jar's name in the cache."""
        return f"{self.artifact}-{self.version}.jar"


def locked(text: str) -> list[Jar]:
    """Read a lock: `group:artifact:version sha256:checksum` a line, `#` begins a comment.

    >>> locked("# a comment\\norg.example:door:1.0 sha256:ab12\\n")[0].file_name
    'door-1.0.jar'
    """
    jars = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            coordinate, checksum = line.split()
            group, artifact, version = coordinate.split(":")
            jars.append(Jar(group, artifact, version, checksum.removeprefix("sha256:")))
    return jars


def class_path(cache: Path) -> str:
    """Return Kafka's class path; jars that are missing or damaged are fetched first.

    Raises:
        ClusterError: E_JAR_FETCH, a jar cannot be had; E_JAR_CHECKSUM, it is not what the lock names.
    """
    jars = locked(LOCK.read_text())
    folder = cache / "jars"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [jar for jar in jars if not _is_whole(folder / jar.file_name, jar)]
    if missing:
        _trust_the_machines_authorities()
        with tempfile.TemporaryDirectory(dir=cache) as fresh, ThreadPoolExecutor(THREADS) as threads:
            for _ in threads.map(lambda jar: _fetch(jar, Path(fresh), folder), missing):
                pass  # the loop raises what a thread raised
    return os.pathsep.join(str(folder / jar.file_name) for jar in jars)


def _is_whole(path: Path, jar: Jar) -> bool:
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == jar.sha256


def _trust_the_machines_authorities() -> None:
    """Let jgo's client trust whom the machine trusts; by itself it knows no company's own authority."""
    authorities = ssl.get_default_verify_paths().cafile
    if authorities:
        os.environ.setdefault("REQUESTS_CA_BUNDLE", authorities)


def _fetch(jar: Jar, fresh: Path, folder: Path) -> None:
    """Fetch one jar beside the cache, check it, and put it into its place in one step."""
    from jgo.maven import MavenContext  # slow to import, and needed once a machine

    mirror = os.environ.get("HEADRACE_MAVEN_REPOSITORY")
    context = MavenContext(
        repo_cache=fresh, remote_repos={"mirror": mirror.rstrip("/")} if mirror else None, timeout=30
    )
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    path = _resolve(artifact, jar, fresh)
    if not _is_whole(path, jar):
        raise ClusterError(
            "E_JAR_CHECKSUM", "a jar is not the one that the lock names", jar.file_name,
            "try again; if it stays so, distrust the repository or mirror it came from",
        )  # fmt: skip
    move_into_place(path, folder / jar.file_name)


def _resolve(artifact: object, jar: Jar, fresh: Path) -> Path:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return Path(artifact.resolve())  # type: ignore[attr-defined]  # jgo's Artifact, imported late
        except (OSError, RuntimeError, AssertionError) as error:  # what jgo lets through from the network
            shutil.rmtree(fresh / jar.group.replace(".", "/") / jar.artifact, ignore_errors=True)
            if attempt == ATTEMPTS:
                raise ClusterError(
                    "E_JAR_FETCH", f"a jar of Kafka cannot be fetched: {error}", jar.file_name,
                    "check the network, or set HEADRACE_MAVEN_REPOSITORY to a mirror of Maven Central",
                ) from error  # fmt: skip
    raise AssertionError("the last attempt returns or raises")
