"""Numbered entries in MLflow that are put once and never change; and turns at changing the registry.

MLflow has no transaction over several objects, but it refuses to change a parameter of a run, and its
database keeps run and key unique. So of two that put an entry of one number, on whatever hosts, one is
refused: that is the compare-and-set that the registry needs.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import structlog

from contracts.errors import ModelError
from inference.models.manifest import digest
from inference.release.mlflow_client import MlflowClient, TakenError
from runtime.clock import Clock

INLINE_MAX = 4000  # bytes; MLflow's parameters end at 6,000 characters
LEASE_MS = 60_000
LOOK_S = 0.1
OVER = "headrace_over"

log = structlog.get_logger(__name__)


class NumberedLog:
    """Entries of one run.

    A short entry is the parameter itself; a longer one is an artifact whose digest the parameter says, so
    it is there once the parameter is. Each has a nonce: no two that put the same bytes both succeed.

    Args:
        run: id of the run, asked for when it is first needed.
        inline_max: bytes of the longest entry that is a parameter.
    """

    def __init__(self, client: MlflowClient, run: Callable[[], str], inline_max: int = INLINE_MAX) -> None:
        self._client, self._run, self._inline_max = client, run, inline_max

    def entries(self) -> dict[int, str]:
        """Return what stands under each number, as `data` takes it."""
        found = self._client.ask("get_run", self._run()).data.params
        return {int(number): found[number] for number in sorted(found) if number.isdecimal()}

    def prepare(self, data: bytes) -> str:
        """Return what to put under a number so that it means these bytes."""
        nonce = uuid.uuid4().hex[:12]
        if len(data) <= self._inline_max:
            return f"{nonce} {data.decode()}"
        sha256 = digest(data)
        self._client.upload(self._run(), nonce, {"entry.json": data})
        return f"{nonce} @{sha256}"

    def put(self, number: int, entry: str) -> None:
        """Put an entry, in one step.

        Raises:
            TakenError: another one has the number.
        """
        key = f"{number:08d}"
        try:
            self._client.ask("log_param", self._run(), key, entry)
        except ModelError:
            if self.entries().get(number, entry) != entry:
                raise TakenError(
                    "E_RELEASE_CHANGED", f"entry {number} is another's", self._client.uri
                ) from None
            raise

    def data(self, entry: str) -> bytes:
        """Return an entry's bytes.

        Raises:
            ModelError: E_MODEL_FILE or E_MODEL_HASH, its artifact is gone or damaged.
        """
        nonce, _, text = entry.partition(" ")
        if not text.startswith("@"):
            return text.encode()
        data = self._client.download(self._run(), f"{nonce}/entry.json")
        if digest(data) != text[1:]:
            raise ModelError(
                "E_MODEL_HASH", "differs from the digest beside it", f"{self._run()}/{nonce}/entry.json",
                "restore MLflow's artifacts from a backup",
            )  # fmt: skip
        return data


class _Turn(msgspec.Struct, frozen=True):
    holder: str
    until_ms: int


class Turns:
    """Who may change the registry, one after the other, over all hosts.

    A turn ends when it is given back, when its holder takes another one (a crash ended it before), or after
    a minute. Hosts' clocks must agree to within seconds; whoever outstays a turn all the same finds the
    number of its release taken.
    """

    def __init__(self, client: MlflowClient, run: Callable[[], str], clock: Clock) -> None:
        self._client, self._run, self._clock = client, run, clock
        self._log = NumberedLog(client, run)

    @contextmanager
    def turn(self, holder: str) -> Iterator[None]:
        """Wait for a turn and have it while the block runs."""
        number = self._take(holder)
        try:
            yield
        finally:
            try:
                self._client.ask("set_tag", self._run(), OVER, str(number))
            except ModelError as error:
                log.warning("turn_not_given_back", code=error.code, why=str(error), lease_ms=LEASE_MS)

    def _take(self, holder: str) -> int:
        while True:
            data = self._client.ask("get_run", self._run()).data
            last = max((int(number) for number in data.params), default=-1)
            if self._is_free(last, data.params.get(f"{last:08d}"), data.tags.get(OVER), holder):
                until_ms = int(self._clock.now_ms()) + LEASE_MS
                try:
                    mine = self._log.prepare(msgspec.json.encode(_Turn(holder, until_ms)))
                    self._log.put(last + 1, mine)
                except TakenError:
                    continue
                return last + 1
            time.sleep(LOOK_S)

    def _is_free(self, last: int, entry: str | None, over: str | None, holder: str) -> bool:
        if entry is None or int(over or -1) >= last:
            return True
        held = msgspec.json.decode(self._log.data(entry), type=_Turn)
        return held.holder == holder or held.until_ms < self._clock.now_ms()
