"""A field's values as a typed decoder gives them, to its column, and the rows to be read strictly."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from contracts.contract_version import ContractField
from contracts.field_check import number_bounds
from contracts.keys import NULL
from contracts.text_column import packed_texts
from contracts.written_values import decimals_of, times_of

Column = list[str] | NDArray[Any]  # of one field: texts, or numbers
Converter = Callable[[list[Any]], tuple[Column, Iterable[int]]]
_NONE: tuple[int, ...] = ()


def converter_of(field: ContractField) -> Converter:
    """Return what makes a field's column of values: texts as they are, null as columns have it.

    >>> from contracts.contract_version import ContractField
    >>> fare = ContractField(name="fare", path=("fare",), type="decimal", required=False, scale=2)
    >>> converter_of(fare)([b"1.5", None, b"1e2", UNSET])
    (array([                 150, -9223372036854775808, -9223372036854775808,
           -9223372036854775808]), [2])
    """
    if field.is_object:
        return lambda values: ([], [i for i, raw in enumerate(values) if bytes(raw) == b"null"])
    match field.type:
        case "string":
            return _texts if field.required else _optional_texts
        case "decimal":
            return _written(field, lambda texts: decimals_of(texts, field.scale, field.bounds))
        case "number":
            return _floats(field)
    if field.time_format == "iso8601":
        return _written(field, lambda texts: times_of(texts, field.zone, field.bounds))
    return _integers(field)


def is_checked(field: ContractField) -> bool:
    """Return whether a field's values can be other than its contract says, though they decoded."""
    return field.is_object or field.type in ("decimal", "number") or field.time_format == "iso8601"


def _texts(values: list[Any]) -> tuple[Column, Iterable[int]]:
    return values, _NONE


def _optional_texts(values: list[Any]) -> tuple[Column, Iterable[int]]:
    if values.count(UNSET) == len(values):
        return [""] * len(values), _NONE
    return ["" if value is UNSET or value is None else value for value in values], _NONE


def _integers(field: ContractField) -> Converter:
    """Return what reads whole numbers, truth values and times of an epoch."""
    times = {"epoch_s": 1000, "epoch_us": -1000}.get(field.time_format, 1)

    def convert(values: list[Any]) -> tuple[Column, Iterable[int]]:
        if not field.required:
            values = [NULL if value is UNSET or value is None else value for value in values]
        found = np.fromiter(values, np.int64, len(values))
        if times == 1:
            return found, _NONE
        scaled = found * times if times > 0 else found // -times
        return np.where(found == NULL, NULL, scaled), _NONE

    return convert


def _floats(field: ContractField) -> Converter:
    low, high = number_bounds(field)

    def convert(values: list[Any]) -> tuple[Column, Iterable[int]]:
        if not field.required:
            values = [np.nan if value is UNSET or value is None else value for value in values]
        found = np.fromiter(values, np.float64, len(values))
        return found, np.flatnonzero((found < low) | (found > high) | np.isinf(found)).tolist()

    return convert


def _written(
    field: ContractField, read: Callable[[NDArray[np.bytes_]], tuple[NDArray[np.int64], NDArray[np.bool_]]]
) -> Converter:
    """Return what reads numbers from their texts."""

    empty = "" if field.quoted or field.type == "time" else b""

    def convert(values: list[Any]) -> tuple[Column, Iterable[int]]:
        null = None
        if not field.required:
            null = np.fromiter((value is UNSET or value is None for value in values), np.bool_, len(values))
            values = [empty if none else value for value, none in zip(values, null.tolist(), strict=True)]
        found, strange = read(packed_texts(values))
        found[strange] = NULL
        if null is not None:
            strange &= ~null
        return found, np.flatnonzero(strange).tolist()

    return convert
