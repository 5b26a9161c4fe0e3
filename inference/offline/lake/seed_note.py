"""The note of a lake's seed: read by all that start from it, and by a stage before it starts."""

from pathlib import Path

import msgspec

from contracts.errors import StateError
from features.seeded import ABOUT, FOLDER, Seeded
from runtime.atomic_file import replace_file


def finished_seed(lake: Path) -> Seeded | None:
    """Return what a lake's seed holds, None when the run began with nothing.

    Raises:
        StateError: E_SEED_UNFINISHED, it may be in some changelogs and not in others; E_SEED_FILE.
    """
    seed = read_seed(lake)
    if seed is not None and not seed.finished:
        raise StateError(
            "E_SEED_UNFINISHED", "the seeding of this run was not finished", str(lake / FOLDER),
            f"run `{seed.source.again}` again",
        )  # fmt: skip
    return seed


def read_seed(lake: Path) -> Seeded | None:
    """Return what a lake's seed holds, finished or not, None without one.

    Raises:
        StateError: E_SEED_FILE, its note cannot be read.
    """
    path = lake / FOLDER / ABOUT
    try:
        return msgspec.json.decode(path.read_bytes(), type=Seeded)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise damaged(str(error), path) from error


def write_note(lake: Path, seed: Seeded) -> None:
    """Put a seed's note in the place of the one before, in one step."""
    replace_file(lake / FOLDER / ABOUT, msgspec.json.format(msgspec.json.encode(seed)))


def damaged(what: str, path: Path) -> StateError:
    """Return the error of a file of the seed that is not as it was made."""
    return StateError("E_SEED_FILE", what, str(path), "put the file back from a copy of the run's lake")
