"""What the lake of a seeded run keeps of the run before it: one folder, whole or not there.

    seed/seed.json
    seed/remembered/0.parquet ...                   key, event_id, content_hash, arrival_ms, source
    seed/<entity>/<definitions hash>/0.parquet ...  key, state

Files are by partition of the stage, ids in log order. A state is packed as in a changelog and stands at
position 0; it is null for a key that was forgotten. The partition's clock is in the metadata of its states.
"""

import msgspec

from features.definition import Entity
from features.meaning import meaning_of

FOLDER = "seed"
IMPORTED = "imported"  # beside it, the lake of what was imported
ABOUT = "seed.json"
REMEMBERED = "remembered"


class ImportedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was imported: of which source, and its bytes by their SHA-256."""

    source: str
    file: str
    sha256: str


class SeedOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """The run that the seed is of; its name and epoch where its run.json stands beside its lake.

    Of an import `files` are what was imported, and `at_ms` is the moment as of which its records were judged.
    """

    lake: str
    run: str = ""
    epoch: int = 0
    files: tuple[ImportedFile, ...] = ()
    at_ms: int = 0

    @property
    def again(self) -> str:
        """The command that made the seed, and goes on with one that is not finished.

        >>> SeedOrigin(lake="old/lake").again
        'headrace backfill --seed-from old/lake'
        >>> SeedOrigin(lake="x", files=(ImportedFile(source="orders", file="a.parquet", sha256=""),)).again
        'headrace import orders=a.parquet'
        """
        if not self.files:
            return f"headrace backfill --seed-from {self.lake}"
        return f"headrace import {' '.join(f'{one.source}={one.file}' for one in self.files)}"


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How far the old run counts: what lies below is in the seed, what lies beyond is not.

    `raw_before` has, by raw topic and partition, the first offset that is not in it, `log_before` that of the
    feature log; `below` has, by entity and partition of its stage, the first position that is not in it.
    """

    raw_before: dict[str, dict[int, int]]
    log_before: dict[int, int]
    below: dict[str, dict[int, int]]


class Seeded(msgspec.Struct, frozen=True, kw_only=True):
    """What a seed holds.

    `clocks` has, by partition of the first stage, the packed clock by which records are forgotten. `files`
    has the SHA-256 of each file by its path in the folder. `definitions` lists, by entity, the hashes that
    states are there for. A seed that is not `finished` may be in some changelogs and not in others. `goes_on`
    has, by raw topic and partition, the offset at which the run's own records begin; none where nobody said.
    """

    source: SeedOrigin
    bounds: Bounds
    partitions: int
    rows: dict[str, int]
    clocks: dict[int, bytes]
    definitions: dict[str, list[str]]
    files: dict[str, str]
    finished: bool = False
    goes_on: dict[str, dict[int, int]] = {}


def state_file(entity: Entity, partition: int) -> str:
    """Return a partition's states under this code's definitions, as a path in the seed's folder.

    >>> from features.project.running import project_at
    >>> account = project_at("examples/logins").entities[0]
    >>> state_file(account, 3) == f"account/{meaning_of(account).hash}/3.parquet"
    True
    """
    return f"{entity.name}/{meaning_of(entity).hash}/{partition}.parquet"


def remembered_file(partition: int) -> str:
    """Return a partition's remembered records, as a path in the seed's folder.

    >>> remembered_file(2)
    'remembered/2.parquet'
    """
    return f"{REMEMBERED}/{partition}.parquet"
