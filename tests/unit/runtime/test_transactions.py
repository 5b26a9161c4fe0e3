"""A worker that takes its transactional id knows a broker before it asks for the coordinator."""

from runtime.transactions import take_transactional_id


class Producer:
    """Notes what is asked of it, in order."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float]] = []

    def list_topics(self, *, timeout: float) -> object:
        """Connect."""
        self.asked.append(("list_topics", timeout))
        return None

    def init_transactions(self, timeout: float) -> None:
        """Ask for the coordinator."""
        self.asked.append(("init_transactions", timeout))


def test_it_connects_first_and_both_together_have_the_time_that_was_given() -> None:
    producer = Producer()
    take_transactional_id(producer, 30.0)
    (first, whole_s), (second, left_s) = producer.asked
    assert (first, second) == ("list_topics", "init_transactions")
    assert 0 < left_s <= whole_s == 30.0
