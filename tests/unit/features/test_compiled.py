"""Compiled code on disk is kept by the content of every file whose functions are in it."""

import re
from pathlib import Path

import features
from features import session_part
from features.compiled import COMPILED_TOGETHER, PARTS_TOGETHER

ROOT = Path(features.__file__).parent
SIDE = {"checksum", "feast_reply", "feast_tiles"}  # nothing else compiles their functions in


def test_every_compiled_file_is_named_where_code_is_kept_by_content() -> None:
    """A file that is not named would leave what it was in the code of others."""
    found = set()
    for path in ROOT.rglob("*.py"):
        text = path.read_text()
        if re.search(r"^@(compiled|compiled_part\(.*\))$", text, re.MULTILINE):
            found.add(path.relative_to(ROOT).with_suffix("").as_posix())
        assert path.stem == "compiled" or "njit" not in text, f"{path} compiles by itself"
    assert found - SIDE <= {*COMPILED_TOGETHER, *PARTS_TOGETHER}


def test_code_of_the_parts_is_good_for_one_content_of_all_files() -> None:
    stamp = session_part._apply._cache._cache_file._source_stamp  # type: ignore[attr-defined]  # Numba's, not a function's
    assert re.fullmatch(r"[0-9a-f]{64}", stamp)
