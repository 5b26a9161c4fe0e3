"""What a process may use is the smallest limit of its control groups, in both of their versions."""

import os
from pathlib import Path

import pytest

from runtime.memory import memory_free, memory_limit

MIB = 1 << 20
MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def group(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"memory.{name}").write_text(f"{content}\n")


def belongs_to(root: Path, line: str) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(f"9:name=systemd:/\n{line}\n")


def test_a_limit_above_the_own_group_counts(tmp_path: Path) -> None:
    belongs_to(tmp_path, "0::/pod/worker")
    folder = tmp_path / "sys/fs/cgroup/pod"
    group(folder, max=64 * MIB, current=50 * MIB, stat=f"anon 1\ninactive_file {20 * MIB}")
    group(folder / "worker", max="max", current=1, stat="")
    assert memory_limit(tmp_path) == 64 * MIB
    assert memory_free(tmp_path) == 34 * MIB


@pytest.mark.parametrize("path", ["/docker/abc", "/"])
def test_version_1_is_read_too_also_where_the_groups_own_path_is_not_to_be_seen(
    path: str, tmp_path: Path
) -> None:
    belongs_to(tmp_path, f"4:cpu,memory:{path}")
    group(
        tmp_path / "sys/fs/cgroup/memory", limit_in_bytes=64 * MIB, usage_in_bytes=80 * MIB,
        stat=f"inactive_file 7\ntotal_inactive_file {10 * MIB}",
    )  # fmt: skip
    assert (memory_limit(tmp_path), memory_free(tmp_path)) == (64 * MIB, 0)


@pytest.mark.parametrize("line", ["0::/", "4:memory:/x"])
def test_without_a_limit_it_is_the_machines(line: str, tmp_path: Path) -> None:
    belongs_to(tmp_path, line)
    group(tmp_path / "sys/fs/cgroup/memory/x", limit_in_bytes=(1 << 63) - 4096, usage_in_bytes=1, stat="")
    assert memory_limit(tmp_path) == MACHINE
    assert memory_limit(tmp_path / "nothing") == MACHINE


def test_what_the_machine_has_left_counts_too(tmp_path: Path) -> None:
    belongs_to(tmp_path, "0::/")
    (tmp_path / "proc/meminfo").write_text(f"MemTotal: {MACHINE >> 10} kB\nMemAvailable:   2048 kB\n")
    assert memory_free(tmp_path) == 2 * MIB
