"""Find the run that a Feast command means: its home folder, its lake and its Redis.

Feast gives its stores no settings but a YAML file, so they look here. `HEADRACE_RUN` names a run's home;
without it the run is the one that `.headrace/current` points at, in `HEADRACE_ROOT` or this checkout. An
address of Redis in `HEADRACE_REDIS_URL` wins over the local server that `headrace up` started.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from contracts.connections import LOOPBACK, RedisConnection
from contracts.errors import ConfigError

CHECKOUT = Path(__file__).resolve().parent.parent
_NEXT = "start one with `headrace up` or `headrace demo`, or set HEADRACE_RUN to a run's home"


class _RunFile(msgspec.Struct):
    redis_db: int = 0


class _ServersFile(msgspec.Struct):
    redis_url: str


class RunHome(msgspec.Struct, frozen=True):
    """A run's home as Feast sees it.

    >>> RunHome(Path("/srv/runs/main")).lake
    PosixPath('/srv/runs/main/lake')
    """

    path: Path

    @classmethod
    def find(cls, environment: Mapping[str, str] = os.environ, checkout: Path = CHECKOUT) -> "RunHome":
        """Return the run that the environment names, or the current one of the checkout.

        Raises:
            ConfigError: E_RUN_NONE, there is no such run.
        """
        named = environment.get("HEADRACE_RUN", "")
        root = Path(environment.get("HEADRACE_ROOT", "") or checkout)
        path = Path(named) if named else root / ".headrace" / "current"
        if not path.is_dir():
            raise ConfigError("E_RUN_NONE", "there is no run", str(path), _NEXT)
        return cls(path.resolve())

    @property
    def lake(self) -> Path:
        """Folder of the Parquet datasets."""
        return self.path / "lake"

    def redis(self, environment: Mapping[str, str] = os.environ) -> RedisConnection:
        """Return the connection to the run's online store.

        Raises:
            ConfigError: E_RUN_SERVERS, no server is known; E_CONFIG_PLAINTEXT, it would be spoken to in the
                clear over a network.
        """
        url = environment.get("HEADRACE_REDIS_URL", "")
        if url:
            tls_ca = environment.get("HEADRACE_REDIS_TLS_CA_LOCATION", "")
            return _guarded(RedisConnection.from_url(url, tls_ca_location=tls_ca), environment)
        servers = self.path.parent.parent / "servers.json"
        try:
            local = msgspec.json.decode(servers.read_bytes(), type=_ServersFile)
            run = msgspec.json.decode((self.path / "run.json").read_bytes(), type=_RunFile)
        except (OSError, msgspec.MsgspecError) as error:
            advice = "start the local servers with `headrace up`, or set HEADRACE_REDIS_URL"
            raise ConfigError("E_RUN_SERVERS", "no running Redis is known", str(error), advice) from error
        return msgspec.structs.replace(RedisConnection.from_url(local.redis_url), db=run.redis_db)


def _guarded(to: RedisConnection, environment: Mapping[str, str]) -> RedisConnection:
    if to.tls or to.host in LOOPBACK or environment.get("HEADRACE_ALLOW_PLAINTEXT") == "yes":
        return to
    raise ConfigError(
        "E_CONFIG_PLAINTEXT", "features would leave this machine unencrypted", to.host,
        "use rediss://, or set HEADRACE_ALLOW_PLAINTEXT=yes on a network of your own",
    )  # fmt: skip
