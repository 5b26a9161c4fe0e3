"""What a power cut at any moment leaves: the old file or the new one, whole, under its name."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime import atomic_file
from runtime.atomic_file import (
    PRIVATE,
    append_line,
    create_file,
    hidden,
    is_abandoned,
    move_into_place,
    replace_file,
    replace_folder,
    replacing,
    writing,
)


class Disk:
    """Records in which order files are synced, renamed and linked; names are relative to a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.calls: list[str] = []

    def name(self, path: str | Path) -> str:
        found = Path(path)
        if found == self._root:
            return "folder"
        return "part" if found.name.startswith(".") else found.name

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        fsync, replace, link = os.fsync, os.replace, os.link

        def synced(descriptor: int) -> None:
            self.calls.append(f"sync {self.name(os.readlink(f'/proc/self/fd/{descriptor}'))}")
            fsync(descriptor)

        def renamed(path: Path, to: Path) -> Path:
            self.calls.append(f"rename {self.name(path)} {self.name(to)}")
            replace(path, to)
            return to

        def linked(path: Path, to: Path) -> None:
            self.calls.append(f"link {self.name(path)} {self.name(to)}")
            link(path, to)

        patch.setattr(os, "fsync", synced)
        patch.setattr(os, "link", linked)
        patch.setattr(Path, "replace", renamed)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk(tmp_path)
    disk.watch(monkeypatch)
    return disk


def test_a_file_is_synced_before_its_name_means_it_and_the_folder_after(tmp_path: Path, disk: Disk) -> None:
    replace_file(tmp_path / "note", b"new")
    assert disk.calls == ["sync part", "rename part note", "sync folder"]
    assert os.listdir(tmp_path) == ["note"]


def test_what_is_written_piece_by_piece_has_the_same_habit(tmp_path: Path, disk: Disk) -> None:
    with replacing(tmp_path / "table") as sink:
        sink.write(b"one")
        sink.write(b"two")
    assert disk.calls == ["sync part", "rename part table", "sync folder"]
    assert (tmp_path / "table").read_bytes() == b"onetwo"


def test_a_file_that_only_the_first_may_make_has_the_same_habit(tmp_path: Path, disk: Disk) -> None:
    assert create_file(tmp_path / "token", b"first")
    assert disk.calls == ["sync part", "link part token", "sync folder"]
    assert not create_file(tmp_path / "token", b"second")
    assert (tmp_path / "token").read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["token"]


def test_a_first_line_is_synced_with_its_folder_and_later_ones_alone(tmp_path: Path, disk: Disk) -> None:
    append_line(tmp_path / "audit", b"one")
    append_line(tmp_path / "audit", b"two")
    assert disk.calls == ["sync audit", "sync folder", "sync audit"]
    assert (tmp_path / "audit").read_bytes() == b"one\ntwo\n"


def test_a_folder_takes_the_place_of_another(tmp_path: Path, disk: Disk) -> None:
    for name in ("made", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    replace_folder(tmp_path / "made", tmp_path / "target")
    assert disk.calls == ["rename made target", "sync folder"]
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["made"]
    assert os.listdir(tmp_path) == ["target"]


FAILURES: dict[str, Callable[[Path], object]] = {
    "the disk is full": lambda path: replace_file(path, b"new"),
    "the writer raises": lambda path: _raise_in(path),
}


def _raise_in(path: Path) -> None:
    with replacing(path) as sink:
        sink.write(b"half")
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: Callable[[Path], object]
) -> None:
    path = tmp_path / "note"
    path.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        fail(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["note"]


def test_a_private_file_is_its_owners_from_its_first_byte_on(tmp_path: Path) -> None:
    part = hidden(tmp_path / "token")
    with writing(part, PRIVATE) as sink:
        assert part.stat().st_mode & 0o077 == 0
        sink.write(b"secret")
    move_into_place(part, tmp_path / "token")
    assert (tmp_path / "token").stat().st_mode & 0o777 == PRIVATE


def test_two_threads_write_one_file_without_meeting(tmp_path: Path) -> None:
    contents = [bytes([n]) * 50_000 for n in range(8)]
    path = tmp_path / "note"
    threads = [
        threading.Thread(target=lambda c=content: [replace_file(path, c) for _ in range(10)])
        for content in contents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert os.listdir(tmp_path) == ["note"]


def test_a_hidden_file_is_abandoned_when_its_process_is_gone(tmp_path: Path) -> None:
    assert not is_abandoned(hidden(tmp_path / "1.parquet"))
    assert is_abandoned(tmp_path / f".1.parquet.{1 << 22}-0{atomic_file.PART}")
    assert is_abandoned(tmp_path / f".1.parquet.{1 << 22}{atomic_file.PART}")  # as older versions named them
