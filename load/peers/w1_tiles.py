"""Work W1 as it is written by hand in Python: sparse tiles a window in a list, combined when asked.

Standard library only: the peers run it in an environment of their own. The state is JSON: the newest event
time, and a list of tiles [number, count, sum, max] a window.
"""

from typing import Any

SPANS_MS = ((3_600_000, 60_000), (86_400_000, 1_800_000), (604_800_000, 10_800_000))  # length, hop
NAMES = tuple(f"{what}_{label}" for label in ("1h", "24h", "7d") for what in ("count", "sum", "mean", "max"))


def fresh() -> list[Any]:
    """Return the state of a key that was never seen."""
    return [0, [], [], []]


def update(state: list[Any], event_ms: int, amount: int) -> list[float]:
    """Fold a payment into a key's state, in place, and return the features as of it, in order of `NAMES`.

    >>> state = fresh()
    >>> update(state, 0, 5)[:4], update(state, 3_660_000, 7)[:4]
    ([1, 5, 5.0, 5], [1, 7, 7.0, 7])
    """
    now = state[0] = max(state[0], event_ms)
    out: list[float] = []
    for level, (length_ms, hop_ms) in enumerate(SPANS_MS, 1):
        tiles = state[level]
        first = (now - length_ms) // hop_ms
        while tiles and tiles[0][0] < first:
            del tiles[0]
        number = event_ms // hop_ms
        if number >= first:
            _fold(tiles, number, amount)
        count = total = most = 0
        for _, events, spent, largest in tiles:
            count += events
            total += spent
            most = max(most, largest)
        out += (count, total, total / count if count else 0.0, most)
    return out


def _fold(tiles: list[list[int]], number: int, amount: int) -> None:
    """Put an amount into its tile; a late one looks back from the newest."""
    at = len(tiles)
    while at and tiles[at - 1][0] > number:
        at -= 1
    if at and tiles[at - 1][0] == number:
        tile = tiles[at - 1]
        tile[1] += 1
        tile[2] += amount
        tile[3] = max(tile[3], amount)
    else:
        tiles.insert(at, [number, 1, amount, amount])


def answer(payment: dict[str, Any], values: list[float]) -> dict[str, Any]:
    """Return the output record of a payment."""
    out = {name: payment[name] for name in ("transaction_id", "event_time", "customer_id", "terminal_id")}
    out.update(zip(NAMES, values, strict=True))
    return out
