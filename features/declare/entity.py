"""Whose windows are kept: one field of the records, or several together."""

from dataclasses import dataclass, field

from features.declare.written_at import WrittenAt, written_at


@dataclass(frozen=True, eq=False, init=False)
class Entity:
    """A key whose windows are kept. A record without it passes that entity's stage; its values are null then.

    Args:
        fields: the fields that make the key; a compound key is null when any part is.
        name: what views and predictions call it; made of the fields, without `_id`, where none is given.

    >>> Entity("account_id").name, Entity("account_id", "merchant_id").name, Entity("ip", name="address").name
    ('account', 'account_merchant', 'address')
    """

    fields: tuple[str, ...]
    name: str
    written: WrittenAt = field(repr=False)

    def __init__(self, *fields: str, name: str = "") -> None:
        made = "_".join(part.removesuffix("_id") for part in fields)
        object.__setattr__(self, "fields", fields)
        object.__setattr__(self, "name", name or made)
        object.__setattr__(self, "written", written_at())

    @property
    def join_key(self) -> str:
        """What the online store calls the key."""
        return "_".join(self.fields)
