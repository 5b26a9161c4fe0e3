"""What stands in the online store where a stage has all its rows there: written by stages, asked by readers.

One hash a project; a field a stage and partition holds who filled it (the owner's incarnation), the run's
epoch and the server's own id. While a stage
fills the store another value is there, and after a flush none, so a reader that misses a key knows whether
the key has no past or the store has lost it.
"""

_REFILL = b"refill:"


def key(project: str) -> str:
    """Return the hash's key.

    >>> key("headrace")
    'headrace:headrace:sentinel'
    """
    return f"headrace:{project}:sentinel"


def field(stage: str, partition: int) -> str:
    """Return the field of a stage's partition.

    >>> field("account", 3)
    'account/3'
    """
    return f"{stage}/{partition}"


def place(epoch: int, server: str) -> bytes:
    """Return of which run and which server a field speaks.

    >>> place(7, "ab")
    b'0000000007:ab'
    """
    return f"{epoch:010d}:{server}".encode()


def whole(incarnation: int, where: bytes) -> bytes:
    """Return what the field holds when all rows are there, filled or taken over by an incarnation.

    >>> whole(3, place(7, "ab"))
    b'3:0000000007:ab'
    """
    return b"%d:%b" % (incarnation, where)


def filling(number: int, incarnation: int, where: bytes) -> bytes:
    """Return the mark of an incarnation's refill, which its own refills number.

    >>> filling(0, 3, place(7, "ab"))
    b'refill:0:3:0000000007:ab'
    """
    return b"%b%d:%b" % (_REFILL, number, whole(incarnation, where))


def filled(mark: bytes) -> bytes:
    """Return what takes a refill's mark's place at its end.

    >>> filled(b"refill:0:3:0000000007:ab")
    b'3:0000000007:ab'
    """
    return mark.split(b":", 2)[2]


def said_by(value: bytes | None, where: bytes) -> int | None:
    """Return the incarnation that a field names, whole or filling; None when it speaks of another place.

    >>> said_by(b"refill:0:3:0000000007:ab", place(7, "ab")), said_by(b"3:0000000007:ab", place(8, "ab"))
    (3, None)
    """
    words = value or b""
    number, _, rest = (filled(words) if is_filling(words) else words).partition(b":")
    return int(number) if number.isdigit() and rest == where else None


def says_whole(value: bytes | None, where: bytes) -> bool:
    """Return whether a field says that all rows are in a place, whoever filled it.

    >>> here = place(7, "ab")
    >>> says_whole(b"3:0000000007:ab", here), says_whole(b"refill:0:3:0000000007:ab", here)
    (True, False)
    """
    return value is not None and said_by(value, where) is not None and not is_filling(value)


def is_filling(value: bytes) -> bool:
    """Return whether a field holds a refill's mark.

    >>> is_filling(b"refill:0:3:0000000007:ab")
    True
    """
    return value.startswith(_REFILL)
