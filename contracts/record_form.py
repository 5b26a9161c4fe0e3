"""How records of one contract version are decoded fast: a typed Struct that follows the fields' places.

The Struct takes more than the contract where it cannot say the same (texts in characters for bytes, decimals
and times as their text), and `suspicion` looks at the rest. A field that may be absent is UNSET when it was
not written and None when it was written as null; a decimal is its text, none or `null`.
"""

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from contracts.contract_version import ContractField, ContractVersion

Get = Callable[[Any], Any]


class Leaf(NamedTuple):
    """A field of the Struct: how to get it of an event, and the quotation marks it has where it stands."""

    field: ContractField
    get: Get
    marks: int
    is_always_there: bool


class Loose(NamedTuple):
    """What may be absent: a field, or with the name "" an object on the way to fields; and its marks."""

    name: str
    get: Get
    marks: int


class RecordForm:
    """The decoder of one version, and where its fields are in what it returns.

    `marks` are the quotation marks of what every record has, `loose` is what not every record has, and
    `has_objects` says that there are objects or lists which the decoder only steps over.

    >>> from pathlib import Path
    >>> from contracts.contract_file import contract_of
    >>> form = RecordForm(contract_of(Path("examples/logins/contracts/resets.yaml")))
    >>> text = b'{"reset_id":"r1","at":"2025-01-01T00:00:00Z","account":{"id":"a"},"method":"sms"}'
    >>> event = form.decode(text)
    >>> [leaf.get(event) for leaf in form.leaves], form.marks
    (['r1', '2025-01-01T00:00:00Z', 'sms', 'a'], 18)
    """

    def __init__(self, version: ContractVersion) -> None:
        tree = _Tree()
        for number, field in enumerate(version.fields):
            if field.required or not field.is_object:
                tree.add(field, f"f{number}")
            else:  # an object that nobody reads: only the way to it is looked at
                tree.add_way(field, f"f{number}")
        self.leaves: tuple[Leaf, ...] = tuple(_leaves(tree, (), ()))
        self.marks = sum(leaf.marks for leaf in self.leaves if leaf.is_always_there) + 2 * _fixed_objects(
            tree
        )
        loose = [
            Loose(leaf.field.name, leaf.get, leaf.marks) for leaf in self.leaves if not leaf.is_always_there
        ]
        self.loose: tuple[Loose, ...] = (*loose, *_loose_objects(tree, (), ()))
        self.has_objects = any(leaf.field.is_object for leaf in self.leaves)
        self.decode = msgspec.json.Decoder(_struct_of(tree, version.schema)).decode


class _Tree:
    """The keys of one object: fields, and objects on the way to fields."""

    def __init__(self) -> None:
        self.fields: dict[str, tuple[str, ContractField]] = {}
        self.below: dict[str, tuple[str, _Tree]] = {}
        self.is_required = False

    def add(self, field: ContractField, name: str, depth: int = 0) -> None:
        """Take a field in under an attribute's name."""
        self.is_required |= field.required
        key = field.path[depth]
        if depth == len(field.path) - 1:
            self.fields[key] = (name, field)
        else:
            self._inner(key, f"n{name}_{depth}").add(field, name, depth + 1)
        self._settle(key)

    def add_way(self, field: ContractField, name: str, depth: int = 0) -> None:
        """Take in the objects on the way to a field: they are objects, whether it is there or not."""
        if depth < len(field.path) - 1:
            key = field.path[depth]
            self._inner(key, f"n{name}_{depth}").add_way(field, name, depth + 1)
            self._settle(key)

    def _inner(self, key: str, name: str) -> "_Tree":
        return self.below.setdefault(key, (name, _Tree()))[1]

    def _settle(self, key: str) -> None:
        if key in self.fields and key in self.below:  # an object that is a field, and has fields
            _, whole = self.fields.pop(key)
            self.below[key][1].is_required |= whole.required

    def has_fixed(self, key: str) -> bool:
        """Return whether an object is there in every record."""
        return self.below[key][1].is_required


def _leaves(tree: _Tree, way: tuple[str, ...], loose: tuple[bool, ...]) -> Iterator[Leaf]:
    """Yield the fields in and below an object; `loose` says of each object of the way if it may be absent."""
    for name, field in tree.fields.values():
        get = _getter((*way, name), loose)
        there = field.required and not any(loose)
        is_text = not field.required and _type_of(field) is Raw
        yield Leaf(field, _text_getter(get) if is_text else get, _marks(field), there)
    for key, (name, below) in tree.below.items():
        yield from _leaves(below, (*way, name), (*loose, not tree.has_fixed(key)))


def _loose_objects(tree: _Tree, way: tuple[str, ...], loose: tuple[bool, ...]) -> Iterator[Loose]:
    for key, (name, below) in tree.below.items():
        fixed = tree.has_fixed(key)
        if not fixed or any(loose):
            yield Loose("", _getter((*way, name), loose), 2)
        yield from _loose_objects(below, (*way, name), (*loose, not fixed))


def _fixed_objects(tree: _Tree) -> int:
    """Return how many objects on the way to fields every record has."""
    return sum(1 + _fixed_objects(below) for key, (_, below) in tree.below.items() if tree.has_fixed(key))


def _getter(way: tuple[str, ...], loose: tuple[bool, ...]) -> Get:
    """Return what gets a value of an event; UNSET where an object of its way is not there, or null."""
    if not any(loose):
        return attrgetter(".".join(way))

    def get(event: Any) -> Any:
        for name, may_be_absent in zip(way, (*loose, False), strict=True):
            event = getattr(event, name)
            if may_be_absent and not event:
                return UNSET
        return event

    return get


def _text_getter(get: Get) -> Get:
    """Return what gets a number's text; UNSET where it is not there, None where it is null."""

    def text(event: Any) -> Any:
        raw = get(event)
        written = b"" if raw is UNSET else bytes(raw)
        return UNSET if not written else None if written == b"null" else written

    return text


def _marks(field: ContractField) -> int:
    """Return the quotation marks of a field that is there: two of its name, two of a string."""
    is_text = field.type == "string" or field.time_format == "iso8601" or field.quoted
    return 4 if is_text and not field.is_object else 2


def _struct_of(tree: _Tree, name: str) -> type[msgspec.Struct]:
    parts: list[Any] = []
    keys: dict[str, str] = {}
    for key, (attribute, field) in tree.fields.items():
        kind = _type_of(field)
        absent = (attribute, Raw, Raw()) if kind is Raw else (attribute, kind | None | UnsetType, UNSET)
        parts.append((attribute, kind) if field.required else absent)
        keys[attribute] = key
    for key, (attribute, below) in tree.below.items():
        inner = _struct_of(below, f"{name}_{attribute}")
        parts.append(
            (attribute, inner) if below.is_required else (attribute, inner | None | UnsetType, UNSET)
        )
        keys[attribute] = key
    return msgspec.defstruct(name, parts, rename=keys, frozen=True, kw_only=True, gc=False)


def _type_of(field: ContractField) -> Any:
    """Return the type that a decoder takes for a field: what the contract takes, and little more."""
    if field.is_object:
        return Raw
    if field.enum:
        return Literal[(field.accepted,) if field.accepted else field.enum]
    low, high = field.bounds
    match field.type:
        case "string":
            return Annotated[str, Meta(min_length=low, max_length=high)]
        case "integer":
            return Annotated[int, Meta(ge=low, le=high)]
        case "boolean":
            return bool
        case "number":
            return float
        case "decimal":
            return str if field.quoted else Raw
    return str if field.time_format == "iso8601" else Annotated[int, Meta(ge=low, le=high)]
