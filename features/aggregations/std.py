"""Std: population standard deviation from integers, so that cancellation cannot spoil it.

State: count n, sum S and sum of squares Q.
Formula: sqrt(float64(n*Q - S*S)) / float64(n), where n*Q - S*S is an exact integer, rounded once.
Empty: null; one row: 0.
Bound: n times the largest absolute value stays under 2^63 (the integer then has at most 126 bits; Q is kept
as two 64-bit words).
Error: three roundings: of the integer, of the root, of the quotient.
Order: any order of the rows gives the same bits.
Source: the textbook formula of the sum of squares, which is exact on integers.
"""

import math

import numpy as np

from features.aggregations.base import NULL, Aggregation, Op, State
from features.compiled import compiled_part

_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_64 = np.uint64(64)
_ONE = np.uint64(1)
_ZERO = np.uint64(0)


class Std(Aggregation):
    """Population standard deviation.

    >>> Std().finalise(Std().update(Std().prepare(2), 4))
    1.0
    """

    op = Op.STD
    in_tiles = True
    unit = "the measure's"

    def prepare(self, value: int) -> State:
        return (1, value, value * value)

    def merge(self, left: State, right: State) -> State:
        return (left[0] + right[0], left[1] + right[1], left[2] + right[2])

    def finalise(self, state: State | None) -> float:
        if not state:
            return NULL
        count, total, squares = state
        return math.sqrt(float(count * squares - total * total)) / float(count)


@compiled_part(inline="always")
def multiply(a: np.uint64, b: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Return the 128-bit product as (high, low) words."""
    a_low, a_high = a & _LOW, a >> _32
    b_low, b_high = b & _LOW, b >> _32
    low = a_low * b_low
    cross = a_high * b_low + (low >> _32)
    other = a_low * b_high + (cross & _LOW)
    high = a_high * b_high + (cross >> _32) + (other >> _32)
    return high, (other << _32) | (low & _LOW)


@compiled_part(inline="always")
def square(value: int) -> tuple[np.uint64, np.uint64]:
    """Return a number's square as (high, low) words."""
    size = np.uint64(abs(value))
    return multiply(size, size)


@compiled_part(inline="always")
def add(high: np.uint64, low: np.uint64, high2: np.uint64, low2: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Return the sum of two 128-bit numbers."""
    total = low + low2
    carry = _ONE if total < low else _ZERO
    return high + high2 + carry, total


@compiled_part()
def as_float(high: np.uint64, low: np.uint64) -> float:
    """Return the 128-bit number rounded once, to the nearest float64 and ties to even."""
    if high == _ZERO:
        return float(low)
    shift, step = _ZERO, _32
    while step != _ZERO:
        if (high >> shift) >> step != _ZERO:
            shift += step
        step >>= _ONE
    shift += _ONE
    if shift == _64:
        top, rest = high, low
    else:
        top = (high << (_64 - shift)) | (low >> shift)
        rest = low & ((_ONE << shift) - _ONE)
    if rest != _ZERO:
        top |= _ONE  # the bit stands for all that was cut, so the one rounding below goes the right way
    return float(float(top) * 2.0 ** float(shift))


@compiled_part()
def finalise_std(count: int, total: int, squares_low: np.uint64, squares_high: np.uint64) -> float:
    """Return what `Std.finalise` does, from the words of a tile."""
    n, s = np.uint64(count), np.uint64(abs(total))
    high, low = multiply(n, np.uint64(squares_low))
    high += n * np.uint64(squares_high)
    minus_high, minus_low = multiply(s, s)
    borrow = _ONE if low < minus_low else _ZERO
    return math.sqrt(as_float(high - minus_high - borrow, low - minus_low)) / float(count)
