"""Decimals and times from their text: exactly and one at a time, and fast for a whole column.

What `decimal_of` and `time_of` return is the definition. The compiled passes read the usual spellings alone
and mark every other text; a text that they do not mark has the value that the definition gives it.
"""

import re
from datetime import UTC, datetime

import numpy as np
from numba import njit
from numpy.typing import NDArray

from contracts.contract_version import INT64_MAX
from contracts.document import Refused

_DECIMAL = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?", re.ASCII)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:[.,](\d+))?(?:([Zz])|([+-])(\d\d):?(\d\d)?)?", re.ASCII
)
_DIGITS_MAX = 19
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Ints = NDArray[np.int64]
Marks = NDArray[np.bool_]


def decimal_of(text: str, scale: int) -> int:
    """Return a decimal number in units of its last digit.

    Raises:
        Refused: E_CONTRACT_TYPE, it is no number; E_CONTRACT_SCALE, it has more digits than the scale;
            E_CONTRACT_RANGE, it has more than 19 in all.

    >>> decimal_of("12.5", 2), decimal_of("-0.070", 2), decimal_of("1e2", 2)
    (1250, -7, 10000)
    """
    found = _DECIMAL.fullmatch(text)
    if found is None:
        raise Refused("E_CONTRACT_TYPE", "not a decimal number")
    sign, whole, fraction, power = found.groups("")
    digits = (whole + fraction).strip("0")
    if not digits:
        return 0
    behind = len(fraction) - (len(whole + fraction) - len((whole + fraction).rstrip("0")))
    if len(power) > _DIGITS_MAX:  # of a number above zero; one that is too great is no finite double either
        raise Refused("E_CONTRACT_SCALE", f"more than {scale} digits behind the point")
    shift = scale - behind + int(power or 0)
    if shift < 0:
        raise Refused("E_CONTRACT_SCALE", f"more than {scale} digits behind the point")
    if len(digits) + shift > _DIGITS_MAX:
        raise Refused("E_CONTRACT_RANGE", f"more than {_DIGITS_MAX} digits")
    number: int = int(sign + digits) * 10**shift
    return number


def time_of(text: str, zone: str) -> int:
    """Return the epoch milliseconds of an ISO 8601 time of day and date; what is finer is cut off.

    Args:
        zone: the offset of a text that has none, as `+02:00`; empty where it must have one.

    Raises:
        Refused: E_TIME_FORMAT.

    >>> time_of("1970-01-01T00:00:01.5009Z", ""), time_of("1970-01-01 02:00:00", "+02:00")
    (1500, 0)
    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise Refused("E_TIME_FORMAT", "not an ISO 8601 time such as 2024-01-31T00:00:00Z")
    date, clock, fraction, utc, sign, hours, minutes = found.groups("")
    try:
        moment = datetime.fromisoformat(f"{date}T{clock}+00:00")
    except ValueError:
        raise Refused("E_TIME_FORMAT", "no such time of any calendar") from None
    if not utc and not sign:
        if not zone:
            raise Refused("E_TIME_FORMAT", "has no offset from UTC, and its contract names none")
        sign, hours, minutes = zone[0], zone[1:3], zone[4:6]
    offset_min = int(hours or 0) * 60 + int(minutes or 0)
    if int(hours or 0) > 23 or int(minutes or 0) > 59:
        raise Refused("E_TIME_FORMAT", "no such offset from UTC")
    seconds = (moment - _EPOCH).days * 86_400 + (moment - _EPOCH).seconds
    seconds += offset_min * 60 if sign == "-" else -offset_min * 60
    return seconds * 1000 + int(f"{fraction:0<3.3}")


def decimals_of(texts: NDArray[np.bytes_], scale: int, bounds: tuple[int, int]) -> tuple[Ints, Marks]:
    """Return decimals (n,), and which texts (n,) are to be read one at a time.

    >>> values, marks = decimals_of(np.array([b"12.5", b"-3", b"1e2", b"9.999"]), 2, (-1000, 5000))
    >>> values[:2].tolist(), marks.tolist()
    ([1250, -300], [False, False, True, True])
    """
    values, marks = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.bool_)
    _decimals(_letters(texts), scale, bounds[0], bounds[1], values, marks)
    return values, marks


def times_of(texts: NDArray[np.bytes_], zone: str, bounds: tuple[int, int]) -> tuple[Ints, Marks]:
    """Return epoch milliseconds (n,), and which texts (n,) are to be read one at a time.

    >>> values, marks = times_of(np.array([b"1970-01-01T00:00:01.25Z", b"1970-01-01"]), "", (0, 10**13))
    >>> values.tolist(), marks.tolist()
    ([1250, 0], [False, True])
    """
    values, marks = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.bool_)
    own_s = time_of("1970-01-01T00:00:00", zone) // 1000 if zone else INT64_MAX
    _times(_letters(texts), own_s, bounds[0], bounds[1], values, marks)
    return values, marks


def _letters(texts: NDArray[np.bytes_]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(texts).view(np.uint8).reshape(len(texts), texts.dtype.itemsize)


@njit(cache=True, nogil=True)
def _decimals(texts: NDArray[np.uint8], scale: int, low: int, high: int, values: Ints, marks: Marks) -> None:
    for r in range(len(texts)):
        text = texts[r]
        width, at = len(text), 0
        negative = text[0] == 0x2D
        if negative:
            at = 1
        begin, value, digits, behind = at, np.int64(0), 0, -1
        good = True
        while at < width and text[at] != 0:
            byte = text[at]
            if 0x30 <= byte <= 0x39:
                value = value * 10 + np.int64(byte - 0x30)
                digits += 1
                if behind >= 0:
                    behind += 1
                if digits > 18:
                    good = False
                    break
            elif byte == 0x2E and behind < 0 and digits > 0:
                behind = 0
            else:
                good = False
                break
            at += 1
        if good and (digits == 0 or behind == 0 or behind > scale):
            good = False
        if good and text[begin] == 0x30 and digits - max(behind, 0) > 1:
            good = False
        missing = scale - max(behind, 0)
        if good and digits + missing > 18:
            good = False
        if good:
            for _ in range(missing):
                value *= 10
            if negative:
                value = -value
            if value < low or value > high:
                good = False
        marks[r] = not good
        if good:
            values[r] = value


@njit(cache=True, nogil=True)
def _number(text: NDArray[np.uint8], begin: int, end: int) -> int:
    """Return the number of digits [begin, end), -1 when one is none."""
    value = 0
    for at in range(begin, end):
        if text[at] < 0x30 or text[at] > 0x39:
            return -1
        value = value * 10 + (int(text[at]) - 0x30)
    return value


@njit(cache=True, nogil=True)
def _days(year: int, month: int, day: int) -> int:
    """Return days since 1970-01-01; -1,000,000 for a day that no month has."""
    leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    most = 31
    if month == 2:
        most = 29 if leap else 28
    elif month in (4, 6, 9, 11):
        most = 30
    if year < 1 or month < 1 or month > 12 or day < 1 or day > most:
        return -1_000_000
    shifted = year - 1 if month <= 2 else year  # the year begins in March: the leap day is its last
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return shifted * 365 + shifted // 4 - shifted // 100 + shifted // 400 + of_year - 719_468


@njit(cache=True, nogil=True)
def _offset(text: NDArray[np.uint8], at: int, width: int, own_s: int) -> int:
    """Return what is to be added to a text's clock to have UTC, in seconds; a great number for none."""
    none = 1_000_000
    if at == width or text[at] == 0:
        return own_s if abs(own_s) < none else none
    if text[at] == 0x5A and (at + 1 == width or text[at + 1] == 0):
        return 0
    whole = at + 6 == width or (at + 6 < width and text[at + 6] == 0)
    if not whole or (text[at] != 0x2B and text[at] != 0x2D) or text[at + 3] != 0x3A:
        return none
    hours, minutes = _number(text, at + 1, at + 3), _number(text, at + 4, at + 6)
    if hours < 0 or hours > 23 or minutes < 0 or minutes > 59:
        return none
    seconds = hours * 3600 + minutes * 60
    return seconds if text[at] == 0x2D else -seconds


@njit(cache=True, nogil=True)
def _times(texts: NDArray[np.uint8], own_s: int, low: int, high: int, values: Ints, marks: Marks) -> None:
    for r in range(len(texts)):
        text = texts[r]
        width = len(text)
        marks[r] = True
        if width < 19 or text[4] != 0x2D or text[7] != 0x2D or text[13] != 0x3A or text[16] != 0x3A:
            continue
        if text[10] != 0x54 and text[10] != 0x20:
            continue
        year, month, day = _number(text, 0, 4), _number(text, 5, 7), _number(text, 8, 10)
        hour, minute, second = _number(text, 11, 13), _number(text, 14, 16), _number(text, 17, 19)
        days = _days(year, month, day)
        if days == -1_000_000 or min(hour, minute, second) < 0 or hour > 23 or minute > 59 or second > 59:
            continue
        at, ms = 19, 0
        if at < width and text[at] == 0x2E:
            at += 1
            unit, begin = 100, at
            while at < width and 0x30 <= text[at] <= 0x39:
                ms += unit * (int(text[at]) - 0x30)
                unit //= 10
                at += 1
            if at == begin:
                continue
        offset = _offset(text, at, width, own_s)
        if abs(offset) >= 1_000_000:
            continue
        value = (days * 86_400 + hour * 3600 + minute * 60 + second + offset) * 1000 + ms
        marks[r] = value < low or value > high
        values[r] = value
