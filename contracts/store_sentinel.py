"""What stands in the online store where a stage has all its rows there: written by stages, asked by readers.

One hash a project; a field a stage and partition holds the run's epoch and the server's own id. While a stage
fills the store another value is there, and after a flush none, so a reader that misses a key knows whether
the key has no past or the store has lost it.
"""


def key(project: str) -> str:
    """Return the hash's key.

    >>> key("headrace")
    'headrace:headrace:sentinel'
    """
    return f"headrace:{project}:sentinel"


def field(stage: str, partition: int) -> str:
    """Return the field of a stage's partition.

    >>> field("customer", 3)
    'customer/3'
    """
    return f"{stage}/{partition}"


def whole(epoch: int, server: str) -> bytes:
    """Return what the field holds when all rows are there.

    >>> whole(7, "ab")
    b'0000000007:ab'
    """
    return f"{epoch:010d}:{server}".encode()
