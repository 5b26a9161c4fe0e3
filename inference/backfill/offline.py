"""What a backfill leaves in the lake: one folder an entity and definitions, whole or not there.

    backfill/<entity>/<definitions hash>/shard-00000.parquet ...
    backfill/<entity>/<definitions hash>/backfill.json

The folder holds every row's features under those definitions, up to where the lake was whole; what the
stream archived from there on under the same definitions continues it.
"""

import os
import shutil
from pathlib import Path

import msgspec

from contracts.errors import StateError
from features.definition import Entity
from features.meaning import Meaning, meaning_of

FOLDER = "backfill"
ABOUT = "backfill.json"


class Backfilled(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder holds.

    `before` says how far: by raw partition the first payment that is not in it (`by` names the columns), or
    by partition of the feature log the first offset.
    """

    meaning: Meaning
    rows: int
    keys: int
    by: tuple[str, str]
    before: dict[int, int]


def folder_of(lake: Path, entity: Entity) -> Path:
    """Return where the backfill of an entity under this code's definitions belongs."""
    return lake / FOLDER / entity.name / meaning_of(entity).hash


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
    (made / ABOUT).write_bytes(msgspec.json.format(msgspec.json.encode(about)))
    target.parent.mkdir(parents=True, exist_ok=True)
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.exists():
        target.rename(old)
    made.rename(target)
    shutil.rmtree(old, ignore_errors=True)
