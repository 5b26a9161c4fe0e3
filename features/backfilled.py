"""What a backfill leaves in the lake: one folder an entity and definitions, whole or not there.

    backfill/<entity>/<definitions hash>/part-00000.parquet ...
    backfill/<entity>/<definitions hash>/backfill.json

The folder holds every row's features under those definitions, up to where the lake was whole; what the
stream archived from there on under the same definitions continues it.
"""

import msgspec

from contracts.meaning import Meaning
from features.definition import Entity
from features.meaning import meaning_of

FOLDER = "backfill"
ABOUT = "backfill.json"
PARTS = "part-*.parquet"


class Backfilled(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder holds.

    `before` says how far: by raw partition the first event that is not in it, or by partition of the
    feature log the first offset; `by` names the two columns of the feature log that tell.
    """

    meaning: Meaning
    rows: int
    keys: int
    by: tuple[str, str]
    before: dict[int, int]


def folder_name(entity: Entity, hash_: str = "") -> str:
    """Return where in the lake an entity's backfill belongs, of these definitions or of this code's.

    >>> from features.project.running import project_at
    >>> folder_name(project_at("examples/logins").entities[0], "00ff")
    'backfill/account/00ff'
    """
    return f"{FOLDER}/{entity.name}/{hash_ or meaning_of(entity).hash}"
