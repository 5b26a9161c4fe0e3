"""The writer of a stage without an online store: a row is where it belongs as soon as it is handed over."""

from collections.abc import Mapping

from streams.store.rows import StoreRows


class NoStore:
    """Takes rows and forgets them; see `streams.stage.partition.Store` and `OnlineStoreWriter`.

    >>> NoStore().acknowledged(7)
    True
    """

    is_down = False

    def start(self) -> None:
        """Begin: there is nothing to begin."""

    def stop(self, timeout_s: float) -> None:
        """End: nothing waits."""

    def put(self, rows: StoreRows) -> int:
        """Take rows, and return the ticket of nothing to wait for."""
        return 0

    def acknowledged(self, ticket: int) -> bool:
        """Return True: nothing is on its way."""
        return True

    def watch(self, owned: Mapping[int, int]) -> None:
        """Take note of the owned partitions: no store can lose their rows."""

    def take_lost(self) -> set[int]:
        """Return no partition."""
        return set()

    def refill(self, partition: int, rows: StoreRows) -> None:
        """Write every row of a partition to nowhere."""
