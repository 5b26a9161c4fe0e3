"""A learner's snapshot is a cache: one that is damaged is an error with a code and leaves the core alone."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from contracts.errors import StateError
from inference.learning.snapshot import FILE, load


def _core() -> Any:
    def add(_rows: object) -> None:
        raise AssertionError("the core was touched")

    tables = ("predictions", "shadows", "payments", "labels")
    return SimpleNamespace(ledger=SimpleNamespace(**{name: SimpleNamespace(add=add) for name in tables}))


def _zip(folder: Path, **arrays: Any) -> bytes:
    np.savez(folder / "whole.npz", **arrays)
    return (folder / "whole.npz").read_bytes()


@pytest.mark.parametrize(
    "damage",
    {
        "empty": lambda _: b"",
        "bytes": lambda _: bytes(range(256)) * 9,
        "half": lambda whole: whole[: len(whole) // 2],
        "a bit": lambda whole: whole[:60] + bytes([whole[60] ^ 1]) + whole[61:],
        "not ours": lambda whole: whole,
    }.values(),
)
def test_a_damaged_snapshot_is_refused_with_a_code(damage: Any, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(damage(_zip(tmp_path, meta=np.frombuffer(b"[" * 5000, np.uint8))))
    with pytest.raises(StateError, match="E_LEARNER_SNAPSHOT"):
        load(tmp_path, _core(), 1, {})


def test_none_is_none(tmp_path: Path) -> None:
    assert load(tmp_path, _core(), 1, {}) is None
