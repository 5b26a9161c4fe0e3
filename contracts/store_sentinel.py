"""What stands in the online store where a stage has all its rows there: written by stages, asked by readers.

One hash a project; a field a stage and partition says which incarnation of its owner filled the store, for
which run's epoch and on which server. While a stage fills the store a mark stands before that, and after a
flush there is nothing, so a reader that misses a key knows whether it has no past or the store has lost it.
"""

REFILL = b"refill:"


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


def here(epoch: int, server: str) -> bytes:
    """Return how a field names the run and the server.

    >>> here(7, "ab")
    b'0000000007:ab'
    """
    return f"{epoch:010d}:{server}".encode()


def says_whole(value: bytes, place: bytes) -> bool:
    """Tell whether a field says that all rows are at the place that `here` names, whoever filled it.

    >>> says_whole(b"3:0000000007:ab", here(7, "ab")), says_whole(b"refill:0:3:0000000007:ab", here(7, "ab"))
    (True, False)
    """
    number, _, rest = value.partition(b":")
    return number.isdigit() and rest == place
