"""One run, one keyspace: a key in the online store says whose rows stand there.

Rows are compared and set by (epoch, position), so a run's writes into the keyspace of a newer one are refused
by the store without a word, and those of a newer run replace the older one's rows. Neither may happen by
accident: the first writer puts its run's name there, and another run's workers end with a code.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from contracts.errors import StateError
from runtime.guards import Finding


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """A run as a store knows it: the second it was made and the prefix of its topics."""

    epoch: int
    run: str

    @property
    def words(self) -> str:
        """Return the owner for people.

        >>> Owner(epoch=7, run="").words
        'the run with prefix "" and epoch 7'
        """
        return f'the run with prefix "{self.run}" and epoch {self.epoch}'


def owner_key(project: str) -> str:
    """Return the key that names the owner of a project's rows in one database.

    >>> owner_key("headrace")
    'headrace:headrace:owner'
    """
    return f"headrace:{project}:owner"


def check_owner(said: bytes | None, owner: Owner, project: str) -> None:
    """Refuse a keyspace that another run owns; nobody's is fine.

    Raises:
        StateError: E_STORE_OWNER.
    """
    if said is None or said == msgspec.json.encode(owner):
        return
    try:
        other = msgspec.json.decode(said, type=Owner).words
    except msgspec.MsgspecError:
        other = repr(said[:80])
    raise StateError(
        "E_STORE_OWNER", f"these rows belong to {other}, this is {owner.words}", owner_key(project),
        "give each run a database of its own (HEADRACE_REDIS_URL); when the other run is over, take its rows"
        " over by `headrace store take-over --reason WHY`",
    )  # fmt: skip


def ask_owner(command: Callable[..., Any], owner: Owner, project: str, *, claims: bool) -> Iterator[Finding]:
    """Yield that another run owns the store; a writer puts its own name where there is none.

    Args:
        command: sends words to Redis and returns its answer.
    """
    key = owner_key(project)
    if claims:
        command("SET", key, msgspec.json.encode(owner), "NX")
    try:
        check_owner(command("GET", key), owner, project)
    except StateError as error:
        yield Finding(error, refuse=True)
