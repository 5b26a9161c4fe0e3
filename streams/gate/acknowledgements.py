"""Which offsets may be committed: those before which everything sent has been acknowledged."""

from collections import deque
from typing import Any

from contracts.crash_points import reach
from contracts.errors import Stop

Places = dict[tuple[str, int], int]  # (topic, partition) -> the offset to read next


class Boundary:
    """A point of the input: its offsets may be committed once `waiting` records are acknowledged."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.waiting = 0


class Acknowledgements:
    """Counts deliveries a boundary; boundaries become safe in order.

    >>> acks = Acknowledgements()
    >>> on_delivery = acks.expect({("orders", 0): 5}, records=1)
    >>> acks.safe()
    {}
    >>> on_delivery(None, None)
    >>> acks.safe()
    {('orders', 0): 5}
    """

    def __init__(self) -> None:
        self._boundaries: deque[Boundary] = deque()
        self._safe: Places = {}
        self.unacknowledged = 0
        self.error = ""

    def expect(self, places: Places, records: int) -> Any:
        """Open a boundary behind `records` sends; returns the delivery callback for each of them."""
        boundary = Boundary(places)
        boundary.waiting = records
        self.unacknowledged += records
        self._boundaries.append(boundary)

        def delivered(error: Any, _message: Any) -> None:
            reach("gate.on_delivery")
            boundary.waiting -= 1
            self.unacknowledged -= 1
            if error is not None:
                self.error = self.error or str(error)

        return delivered

    @property
    def open_boundaries(self) -> int:
        """Return how many boundaries wait for acknowledgements, or to be asked for by `safe`."""
        return len(self._boundaries)

    def again(self, places: Places) -> None:
        """Take back offsets whose commit did not come through, unless later ones are safe by now.

        >>> acks = Acknowledgements()
        >>> acks.again({("orders", 0): 5})
        >>> acks.safe()
        {('orders', 0): 5}
        """
        for place, offset in places.items():
            self._safe[place] = max(offset, self._safe.get(place, 0))

    def forget(self, place: tuple[str, int]) -> None:
        """Leave a partition that is another worker's by now out of all that is still to be committed.

        What was sent of it before would else take back, once it is acknowledged, what the other committed.

        >>> acks = Acknowledgements()
        >>> acks.again({("orders", 0): 5})
        >>> acks.forget(("orders", 0))
        >>> acks.safe()
        {}
        """
        self._safe.pop(place, None)
        for boundary in self._boundaries:
            boundary.places.pop(place, None)

    def safe(self) -> Places:
        """Return the offsets that became safe to commit since the last call.

        Raises:
            Stop: E_DELIVERY (71), a record was not delivered.
        """
        if self.error:
            raise Stop(71, "E_DELIVERY", f"Kafka did not take a record: {self.error}")
        while self._boundaries and self._boundaries[0].waiting == 0:
            self._safe.update(self._boundaries.popleft().places)
        safe, self._safe = self._safe, {}
        return safe
