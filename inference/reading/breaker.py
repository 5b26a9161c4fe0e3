"""A circuit breaker: after a failure the store is left alone, but for one try an interval."""


class Breaker:
    """Closed while calls succeed; open after a failure until a try, one each interval, succeeds.

    >>> breaker = Breaker(probe_interval_ms=250)
    >>> breaker.failed(now_ms=1000)
    >>> breaker.allows(now_ms=1100), breaker.allows(now_ms=1250), breaker.allows(now_ms=1251)
    (False, True, False)
    >>> breaker.succeeded()
    >>> breaker.allows(now_ms=1252)
    True
    """

    def __init__(self, probe_interval_ms: float = 250.0) -> None:
        self._interval_ms = probe_interval_ms
        self._open = False
        self._next_try_ms = 0.0

    @property
    def open(self) -> bool:
        """Whether calls are held back."""
        return self._open

    def allows(self, now_ms: float) -> bool:
        """Return whether a call may be made now; when open this claims the interval's one try."""
        if not self._open:
            return True
        if now_ms < self._next_try_ms:
            return False
        self._next_try_ms = now_ms + self._interval_ms
        return True

    def failed(self, now_ms: float) -> None:
        """Open, and try again after an interval."""
        self._open = True
        self._next_try_ms = now_ms + self._interval_ms

    def succeeded(self) -> None:
        """Close."""
        self._open = False
