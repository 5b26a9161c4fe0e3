"""What names of columns say, by `headrace/templates/words.toml`; and what contracts call them."""

import re
import tomllib
import unicodedata
from collections.abc import Iterable

from contracts.contract_field import is_name
from contracts.row_columns import MADE
from features.declare import CLOCK_FIELDS
from headrace.init.templates import FOLDER

FILE = FOLDER / "words.toml"

_SAID = {name: tuple(text.split()) for name, text in tomllib.loads(FILE.read_text()).items()}
TIMES, NOT_THE_EVENT, OF_DURATIONS, IDS, OF_EVENTS, OF_KEYS, OF_PERSONS, OF_PEOPLE, NO_AMOUNTS, POSITIVES = (
    frozenset(_SAID[name])
    for name in (
        "times", "not_the_event", "of_durations", "ids", "of_events", "of_keys", "of_persons", "of_people",
        "no_amounts", "positives",
    )
)  # fmt: skip
LABELS, FAILURES = _SAID["labels"], _SAID["failures"]
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "ø": "o", "ł": "l", "đ": "d", "ö": "oe", "ä": "ae", "ü": "ue"}
)
TAKEN = MADE | set(CLOCK_FIELDS) | {"true", "false", "null", "event_id"}


def words_of(name: str) -> tuple[str, ...]:
    """Return the words of a column's name, in small letters without accents.

    >>> words_of("Kunden-Nr."), words_of("userID"), words_of("Größe (cm)"), words_of("日付")
    (('kunden', 'nr'), ('user', 'id'), ('groesse', 'cm'), ())
    """
    plain = _CAMEL.sub(" ", name).lower().translate(_LETTERS)
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(sign))
    return tuple(re.findall(r"[a-z]+|\d+", plain.replace("'", "")))


def field_name(place: Iterable[str], taken: Iterable[str], number: int) -> str:
    """Return what a contract calls a field: the last name of its place, with those before it where needed.

    Args:
        taken: names that other fields have.
        number: its place among the columns, for names of letters that no contract can have.

    >>> field_name(("client", "ip"), (), 1), field_name(("account", "id"), (), 1), field_name(("in",), (), 1)
    ('ip', 'account_id', 'in_field')
    >>> field_name(("日付",), (), 3), field_name(("2nd",), (), 1), field_name(("b", "ip"), ("ip",), 1)
    ('field_3', 'f_2_nd', 'b_ip')
    """
    parts = [words for key in place if (words := words_of(key))]
    names = [
        "_".join(word for words in parts[-depth:] for word in words) for depth in range(1, len(parts) + 1)
    ]
    if len(parts) > 1 and parts[-1] in (
        ("id",),
        ("name",),
        ("type",),
        ("code",),
        ("value",),
        ("key",),
        ("at",),
    ):
        names = names[1:]
    known = set(taken)
    for name in (
        *map(_usable, names),
        f"field_{number}",
        *(f"field_{number}_{more}" for more in range(2, 99)),
    ):
        if name and name not in known:
            return name
    raise AssertionError("a hundred columns of one name")


def _usable(name: str) -> str:
    if not name:
        return ""
    name = name if not name[0].isdigit() else f"f_{name}"
    return name if is_name(name) and name not in TAKEN else f"{name}_field"
