"""W1 with more windows: three are W1's own, the others lie between and beyond them."""

from features.definition import HOUR_MS, MINUTE_MS, Window
from load.bench.w1.entity import WINDOWS

MORE = (
    Window.of(hours=2, hop_ms=5 * MINUTE_MS),
    Window.of(hours=12, hop_ms=30 * MINUTE_MS),
    Window.of(days=2, hop_ms=3 * HOUR_MS),
    Window.of(minutes=30, hop_ms=MINUTE_MS),
    Window.of(hours=6, hop_ms=5 * MINUTE_MS),
    Window.of(days=3, hop_ms=3 * HOUR_MS),
    Window.of(minutes=15, hop_ms=MINUTE_MS),
    Window.of(hours=36, hop_ms=30 * MINUTE_MS),
    Window.of(days=14, hop_ms=3 * HOUR_MS),
)


def windows_of(count: int) -> tuple[Window, ...]:
    """Return W1's three windows and then more of them, 12 at most.

    >>> len(windows_of(12)), windows_of(3) == WINDOWS
    (12, True)
    """
    return (WINDOWS + MORE)[:count]
