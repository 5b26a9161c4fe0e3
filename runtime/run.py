"""A run: the home folder of one deployment, and what keeps it apart from others on the same servers."""

import difflib
import time
from pathlib import Path

import msgspec

from contracts.errors import ConfigError
from contracts.topics import PARTITIONS
from runtime.atomic_file import hidden, move_into_place, replace_file

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
    def root(self) -> Path:
        """The folder whose `.headrace` it lies in, where it lies in one."""
        return self.home.parent.parent.parent

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
    def ends(self) -> Path:
        """One file a worker: why its last process ended."""
        return self.home / "ends"

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
        project: str = "",
    ) -> "Run":
        """Make a run's folder under `root`; it is the current one from now on if there is none yet.

        Who means to change it calls `make_current`. `main` has topics without a prefix; every other run's
        topics begin with its name. `project` is what Feast calls the project ("": the installed one).

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
            **({"project": project} if project else {}),
        )
        for folder in (run.lake, run.models, run.ports):
            folder.mkdir()
        run.logs.mkdir(mode=0o700)
        stored = {key: value for key, value in msgspec.structs.asdict(run).items() if key != "home"}
        replace_file(home / "run.json", msgspec.json.format(msgspec.json.encode(stored)))
        if not (root / FOLDER / "current").exists():
            run.make_current(root)
        return run

    @classmethod
    def named(cls, root: Path, name: str) -> "Run":
        """Return the run of a name under `root`, or of a home folder.

        Raises:
            ConfigError: E_RUN_UNKNOWN, with the nearest name; E_RUN_FILE.
        """
        if (Path(name) / "run.json").exists():
            return cls.load(Path(name))
        home = root / FOLDER / "runs" / name
        if "/" in name or not (home / "run.json").exists():
            nearest = difflib.get_close_matches(name, cls.names(root), n=1)
            raise ConfigError(
                "E_RUN_UNKNOWN", "no run has this name or lives in this folder", name,
                f"did you mean {nearest[0]}?" if nearest else "`headrace runs list` lists them",
            )  # fmt: skip
        return cls.load(home)

    @staticmethod
    def names(root: Path) -> list[str]:
        """Return the names of the runs under `root`, sorted."""
        return sorted(path.parent.name for path in (root / FOLDER / "runs").glob("*/run.json"))

    @classmethod
    def main(cls, root: Path, name: str = "main", project: str = "", partitions: int = PARTITIONS) -> "Run":
        """Return the run called main, or like its project, made where it is not there; now it is current."""
        home = root / FOLDER / "runs" / name
        is_there = (home / "run.json").exists()
        run = cls.load(home) if is_there else cls.create(root, name, partitions=partitions, project=project)
        run.make_current(root)
        return run

    def make_current(self, root: Path) -> None:
        """Point `.headrace/current` at this run, in one step."""
        link = root / FOLDER / "current"
        fresh = hidden(link)
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(self.home)
        move_into_place(fresh, link)


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
