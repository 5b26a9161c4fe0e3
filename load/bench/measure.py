"""CPU and memory of this process, or of a tree of processes, as the kernel counts them."""

import os
import resource
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What one part did: `cpu_s` is user and system time of all its threads and processes."""

    events: int
    wall_s: float
    cpu_s: float
    peak_rss_mib: float
    extra: dict[str, float] = {}

    @property
    def events_per_s(self) -> float:
        """Return the rate by the wall clock."""
        return self.events / self.wall_s if self.wall_s else 0.0

    @property
    def events_per_cpu_s(self) -> float:
        """Return the rate by CPU time."""
        return self.events / self.cpu_s if self.cpu_s else 0.0

    def as_json(self) -> dict[str, float | int]:
        """Return the figures as they are stored.

        >>> Figures(events=10, wall_s=2.0, cpu_s=1.0, peak_rss_mib=5.0).as_json()["events_per_s"]
        5.0
        """
        return {
            "events": self.events,
            "wall_s": round(self.wall_s, 4),
            "cpu_s": round(self.cpu_s, 4),
            "events_per_s": round(self.events_per_s, 1),
            "events_per_cpu_s": round(self.events_per_cpu_s, 1),
            "peak_rss_mib": round(self.peak_rss_mib, 1),
            **{name: round(value, 3) for name, value in self.extra.items()},
        }


class Meter:
    """Measures this process between two moments.

    >>> meter = Meter(); figures = meter.read(events=1)
    >>> figures.wall_s >= 0 and figures.peak_rss_mib > 1
    True
    """

    def __init__(self) -> None:
        self._wall_s, self._cpu_s = time.perf_counter(), time.process_time()

    def read(self, events: int, **extra: float) -> Figures:
        """Return the figures since the meter was made."""
        return Figures(
            events=events,
            wall_s=time.perf_counter() - self._wall_s,
            cpu_s=time.process_time() - self._cpu_s,
            peak_rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            extra=extra,
        )


class TreeMeter:
    """Measures processes, with their children, between two moments."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = list(pids)
        self._wall_s, self._cpu_s = time.perf_counter(), tree_cpu_s(self._pids)

    def read(self, events: int, **extra: float) -> Figures:
        """Return the figures since the meter was made."""
        return Figures(
            events=events,
            wall_s=time.perf_counter() - self._wall_s,
            cpu_s=tree_cpu_s(self._pids) - self._cpu_s,
            peak_rss_mib=sum(_peak_rss_mib(pid) for pid in _tree(self._pids)),
            extra=extra,
        )


def tree_cpu_s(pids: Iterable[int]) -> float:
    """Return the CPU seconds so far of processes, their living children and their collected ones."""
    ticks = 0
    for pid in _tree(pids):
        fields = _stat_fields(pid)
        if fields:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS_PER_S


def _tree(pids: Iterable[int]) -> set[int]:
    """Return the processes and all their descendants that live."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat_fields(int(entry.name))
            if fields:
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found: set[int] = set()
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += parents.get(pid, [])
    return found


def _stat_fields(pid: int) -> list[str]:
    """Return the fields of /proc/<pid>/stat after the command's name; none when it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _peak_rss_mib(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    peak = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0 kB")
    return int(peak.split()[1]) / 1024
