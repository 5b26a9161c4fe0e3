"""Reading and publishing what `features.backfilled` describes."""

from pathlib import Path

import msgspec

from contracts.errors import StateError
from features.backfilled import ABOUT, Backfilled, folder_name
from features.definition import Entity
from runtime.atomic_file import replace_file, replace_folder


def folder_of(lake: Path, entity: Entity) -> Path:
    """Return where the backfill of an entity under this code's definitions belongs."""
    return lake / folder_name(entity)


def read_about(lake: Path, entity: Entity) -> Backfilled | None:
    """Return what the backfill under this code's definitions holds, None when there is none.

    Raises:
        StateError: E_BACKFILL_FILE, its note cannot be read.
    """
    path = folder_of(lake, entity) / ABOUT
    try:
        return msgspec.json.decode(path.read_bytes(), type=Backfilled)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise StateError("E_BACKFILL_FILE", str(error), str(path), "run `headrace backfill` again") from error


def publish(made: Path, target: Path, about: Backfilled) -> None:
    """Put a whole backfill in the place of the one before; a reader sees the one or the other."""
    replace_file(made / ABOUT, msgspec.json.format(msgspec.json.encode(about)))
    replace_folder(made, target)
