"""The key of an entity's row in Feast's bytes: one field or several, texts and whole numbers."""

import re
import struct
from functools import cache
from typing import NamedTuple

from contracts.pipeline import Pipeline
from contracts.terms import is_number
from features.definition import Entity

_STRING, _INT64 = 2, 4  # feast.types.ValueType
_PART = re.compile(rb"(\d+):")


class KeyFormat(NamedTuple):
    """The fields of a key in the entity's order, and which of them are whole numbers.

    A key comes as the stages have it (`contracts.keys.key_of`): the text of one field, or of several, each
    with its length before it. Feast serialises the fields in the order of their names, each with its type.

    >>> KeyFormat(("shop_id", "till"), (False, True)).values(b"2:ab1:7")
    [b'ab', b'7']
    """

    fields: tuple[str, ...]
    is_number: tuple[bool, ...]

    @property
    def is_text(self) -> bool:
        """Whether the key is one text, which is most of them."""
        return self.is_number == (False,)

    @property
    def prefix(self) -> bytes:
        """What stands before the values: how many fields there are, and their names in order.

        >>> KeyFormat(("id",), (False,)).prefix.hex(" ", 4)
        '0100 00000200 00000200 00006964'
        """
        return _prefix(self.fields)

    def values(self, key: bytes) -> list[bytes]:
        """Return the texts of a key's fields, in the entity's order; empty ones of a key that is missing."""
        if len(self.fields) == 1:
            return [key]
        if not key:
            return [b""] * len(self.fields)
        found, at = list[bytes](), 0
        for _ in self.fields:
            length = _PART.match(key, at)
            assert length is not None, "a key of several fields has the length of each before it"
            at = length.end() + int(length[1])
            found.append(key[length.end() : at])
        return found

    def serialized(self, key: bytes) -> bytes:
        """Return a key as Feast does (serialization version 3).

        >>> KeyFormat(("id",), (True,)).serialized(b"7")[-8:]
        b'\\x07\\x00\\x00\\x00\\x00\\x00\\x00\\x00'
        """
        parts = zip(self.fields, self.values(key), self.is_number, strict=True)
        return self.prefix + b"".join(_value(text, number) for _, text, number in sorted(parts))


def text_key(field: str) -> KeyFormat:
    """Return the format of a key of one text field."""
    return KeyFormat((field,), (False,))


def key_format(pipeline: Pipeline, entity: Entity) -> KeyFormat:
    """Return how an entity of a project is keyed.

    >>> from features.project.running import project_at
    >>> logins = project_at("examples/logins")
    >>> key_format(logins.pipeline, logins.entities[0])
    KeyFormat(fields=('account_id',), is_number=(False,))
    """
    fields = pipeline.chain.named(entity.name).fields
    return KeyFormat(fields, tuple(_is_number(pipeline, name) for name in fields))


def _is_number(pipeline: Pipeline, name: str) -> bool:
    """Return whether a field's key is a whole number; the hash of a personal one is a text."""
    if any(name in source.hashed for source in pipeline.sources):
        return False
    declared = pipeline.fields_by_name.get(name, ())
    return bool(declared) and is_number(declared[0])


@cache
def _prefix(fields: tuple[str, ...]) -> bytes:
    names = [name.encode() for name in sorted(fields)]
    parts = [struct.pack("<II", _STRING, len(name)) + name for name in names]
    return struct.pack("<I", len(names)) + b"".join(parts)


def _value(text: bytes, number: bool) -> bytes:
    if number and text:
        return struct.pack("<IIq", _INT64, 8, int(text))
    return struct.pack("<II", _STRING, len(text)) + text
