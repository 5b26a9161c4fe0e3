"""Seeded mutations of real inputs: an input's number decides it, so that any of them can be made again."""

import random
import struct
from collections.abc import Callable, Sequence

NUMBERS = (
    0, 1, 2, 127, 128, 255, 256, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**62, 2**63 - 1, 2**63,
    2**64 - 1,
)  # fmt: skip
WORDS = (
    b"-1", b"-0", b"1e999", b"NaN", b"null", b"true", b"9223372036854775808", b"18446744073709551616",
    b"1" * 400, b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b'"', b"{", b"[" * 200, b"}",
    b"\r\n", b"$", b"*", b"$-1\r\n", b"*-1\r\n", b":", b": ", b"- ", b"&a ", b"*a ", b"!!python/object:x ",
    b"2023-02-30", b"-1:30", b"<i8", b"|S9999", b"9999*<f8", b"HRF1", b"\x80" * 12, b"\xff" * 12, b"{{ x }}",
)  # fmt: skip

Edit = Callable[[random.Random, bytearray, Sequence[bytes]], None]


def mutated(seeds: Sequence[bytes], seed: int, number: int) -> bytes:
    """Return the input of that number: one of the seeds with one to five edits.

    >>> mutated([b"abc"], 1, 7) == mutated([b"abc"], 1, 7)
    True
    """
    rng = random.Random(f"{seed}/{number}")
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        rng.choice(EDITS)(rng, data, seeds)
    return bytes(data)


def _flip(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _number(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    """Put an awkward number into a place of 1 to 8 bytes."""
    size = rng.choice((1, 2, 4, 8))
    if len(data) >= size:
        at = rng.randrange(len(data) - size + 1)
        data[at : at + size] = struct.pack("<Q", rng.choice(NUMBERS) % 2**64)[:size]


def _digits(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    """Put another number in the place of one that is written in digits."""
    places = [at for at, byte in enumerate(data) if 48 <= byte <= 57]
    if places:
        begin = end = rng.choice(places)
        while end < len(data) and 48 <= data[end] <= 57:
            end += 1
        data[begin:end] = str(rng.choice((*NUMBERS, -1, rng.randrange(100)))).encode()


def _cut(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        del data[rng.randrange(len(data)) :]


def _drop(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        at = rng.randrange(len(data))
        del data[at : at + rng.choice((1, 2, 8, 40))]


def _repeat(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data and len(data) < 100_000:
        at = rng.randrange(len(data))
        piece = data[at : at + rng.choice((1, 4, 16, 100))]
        data[at:at] = piece * rng.choice((1, 2, 20))


def _word(rng: random.Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = rng.randrange(len(data) + 1)
    word = rng.choice(WORDS)
    data[at : at + rng.choice((0, 0, len(word)))] = word


def _splice(rng: random.Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    other = rng.choice(seeds)
    if data and other:
        data[rng.randrange(len(data)) :] = other[rng.randrange(len(other)) :]


EDITS: tuple[Edit, ...] = (
    _flip,
    _flip,
    _set,
    _number,
    _number,
    _digits,
    _cut,
    _drop,
    _repeat,
    _word,
    _splice,
)
