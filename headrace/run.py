"""A run: the home folder of one deployment, and what keeps it apart from others on the same servers."""

import os
import time
from pathlib import Path

import msgspec

from contracts.errors import ConfigError
from contracts.topics import PARTITIONS

FOLDER = ".headrace"
DATABASES = 512  # of the local Redis; a run owns one


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment: where its files are, how its topics are called, which Redis database is its own.

    `epoch` is the second the run was created: it grows for ever, so that positions in a store that outlives
    a run are never mistaken for positions of the next one.

    >>> Run(home=Path("/srv/runs/main"), name="main", topic_prefix="", epoch=1, redis_db=0).lake.as_posix()
    '/srv/runs/main/lake'
    """

    home: Path
    name: str
    topic_prefix: str
    epoch: int
    redis_db: int
    project: str = "headrace"
    partitions: int = PARTITIONS

    @property
    def lake(self) -> Path:
        """Parquet files of every topic: Feast's offline store."""
        return self.home / "lake"

    @property
    def models(self) -> Path:
        """Versioned model folders and the champion file."""
        return self.home / "models"

    @property
    def feast_registry(self) -> Path:
        """Feast's registry file."""
        return self.home / "registry.db"

    @property
    def logs(self) -> Path:
        """One log file a worker."""
        return self.home / "logs"

    @property
    def ports(self) -> Path:
        """One file a worker: its process id and the port of its metrics."""
        return self.home / "ports"

    @classmethod
    def load(cls, home: Path) -> "Run":
        """Read the run of a home folder.

        Raises:
            ConfigError: E_RUN_UNKNOWN, there is no run.json; E_RUN_FILE, it cannot be read.
        """
        path = home / "run.json"
        try:
            stored = msgspec.json.decode(path.read_bytes(), type=dict[str, str | int])
            return msgspec.convert({**stored, "home": home.resolve()}, cls)
        except FileNotFoundError:
            raise ConfigError(
                "E_RUN_UNKNOWN",
                "no run lives in this folder",
                str(home),
                "run `headrace up`, or set HEADRACE_RUN",
            ) from None
        except msgspec.DecodeError as error:
            raise ConfigError("E_RUN_FILE", f"the run's file is damaged: {error}", str(path)) from error

    @classmethod
    def current(cls, root: Path) -> "Run":
        """Read the last run that was created or chosen under `root`.

        Raises:
            ConfigError: E_RUN_NONE, there has been none yet.
        """
        link = root / FOLDER / "current"
        if not link.exists():
            raise ConfigError(
                "E_RUN_NONE", "there has been no run yet", str(root / FOLDER),
                "run `headrace up` or `headrace demo` first, or set HEADRACE_RUN",
            )  # fmt: skip
        return cls.load(link.resolve())

    @classmethod
    def create(
        cls,
        root: Path,
        name: str,
        topic_prefix: str | None = None,
        redis_db: int | None = None,
        partitions: int = PARTITIONS,
    ) -> "Run":
        """Make a run's folder under `root` and make it the current one.

        `main` has topics without a prefix; every other run's topics begin with its name.

        Raises:
            ConfigError: E_RUN_EXISTS, the name is taken; E_RUN_DATABASES, no Redis database is left.
        """
        home = (root / FOLDER / "runs" / name).resolve()
        try:
            home.mkdir(parents=True)
        except FileExistsError:
            raise ConfigError("E_RUN_EXISTS", "a run of this name is there already", str(home)) from None
        run = cls(
            home=home,
            name=name,
            topic_prefix=("" if name == "main" else f"{name}.") if topic_prefix is None else topic_prefix,
            epoch=int(time.time()),
            redis_db=_free_database(root, name) if redis_db is None else redis_db,
            partitions=partitions,
        )
        for folder in (run.lake, run.models, run.logs, run.ports):
            folder.mkdir()
        stored = {key: value for key, value in msgspec.structs.asdict(run).items() if key != "home"}
        _write(home / "run.json", msgspec.json.format(msgspec.json.encode(stored)))
        run.make_current(root)
        return run

    @classmethod
    def main(cls, root: Path) -> "Run":
        """Return the run called main, created when it is not there, and make it the current one."""
        if not (root / FOLDER / "runs" / "main" / "run.json").exists():
            return cls.create(root, "main")
        run = cls.load(root / FOLDER / "runs" / "main")
        run.make_current(root)
        return run

    def make_current(self, root: Path) -> None:
        """Point `.headrace/current` at this run, in one step."""
        link, fresh = (
            root / FOLDER / "current",
            root / FOLDER / f".current-{os.getpid()}",
        )
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(self.home)
        fresh.replace(link)


def _free_database(root: Path, name: str) -> int:
    """Return the lowest database of the local Redis that no run owns; 0 is main's."""
    if name == "main":
        return 0
    files = (root / FOLDER / "runs").glob("*/run.json")
    taken = {msgspec.json.decode(path.read_bytes()).get("redis_db") for path in files}
    free = next((db for db in range(1, DATABASES) if db not in taken), None)
    if free is None:
        raise ConfigError(
            "E_RUN_DATABASES", f"all {DATABASES} databases of the local Redis belong to runs",
            str(root / FOLDER / "runs"), "delete the folders of runs that are no longer needed",
        )  # fmt: skip
    return free


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.replace(path)
