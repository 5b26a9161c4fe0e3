"""Which alerts are open: one that stands is not told again and again, and one that went back is cleared."""

from collections.abc import Callable, Collection
from typing import NamedTuple


class Key(NamedTuple):
    """What an alert is about; two detectors are two alerts."""

    detector: str
    feature: str


class Alarms:
    """The alerts of one partition; all times are event times.

    >>> alarms, key = Alarms(cooldown_ms=100), Key("psi", "amount_minor")
    >>> [alarms.rises(key, at_ms) for at_ms in (0, 50, 100)]
    [True, False, True]
    >>> [alarms.rises(key, at_ms) for at_ms in (250, 300, 650, 700)]
    [False, True, False, True]
    >>> alarms.clears(key), alarms.clears(key), alarms.rises(key, 750), alarms.rises(key, 800)
    (True, False, False, True)
    """

    def __init__(self, cooldown_ms: int) -> None:
        self._cooldown_ms = cooldown_ms
        self._told_ms: dict[Key, int] = {}
        self._wait_ms: dict[Key, int] = {}  # of open alerts
        self._from_mean: dict[Key, float] = {}
        self._since_ms: dict[Key, int] = {}

    @property
    def open(self) -> Collection[Key]:
        """Return the alerts that were told and not cleared."""
        return self._from_mean.keys()

    def rises(self, key: Key, at_ms: int, from_mean: float = float("nan")) -> bool:
        """Take note that `key` is over its limit; tell whether that is to be said.

        It is not while the last alert is younger than the cool-down, cleared or not: what comes and goes
        faster is told once. One that stands is told again after a cool-down, then after two, four and so on.
        """
        told_ms, wait_ms = self._told_ms.get(key), self._wait_ms.get(key, self._cooldown_ms)
        if told_ms is not None and at_ms < told_ms + wait_ms:
            return False
        self._wait_ms[key] = 2 * wait_ms if key in self._wait_ms else self._cooldown_ms
        self._told_ms[key] = at_ms
        self._from_mean.setdefault(key, from_mean)
        return True

    def clears(self, key: Key) -> bool:
        """Take note that `key` is back; tell whether that is to be said."""
        self._since_ms.pop(key, None)
        self._wait_ms.pop(key, None)
        return self._from_mean.pop(key, None) is not None

    def since(self, key: Key, find: Callable[[], int]) -> int:
        """Return when an open alert's change began, as first found: a window forgets its own begin."""
        if key not in self._since_ms:
            self._since_ms[key] = find()
        return self._since_ms[key]

    def is_back(self, key: Key, before: float, now: float) -> bool:
        """Tell whether a further change of an open alert's mean led nearer to where the first came from."""
        usual = self._from_mean.get(key)
        return usual is not None and abs(now - usual) < abs(before - usual) / 2
