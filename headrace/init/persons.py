"""Whether a column names or follows a person: by its name, and by how its values look."""

import ipaddress
import re
from collections.abc import Sequence

from headrace.init.guess import Guess
from headrace.init.words import OF_PEOPLE, OF_PERSONS, words_of

SAMPLE = 200
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}")
_PHONE = re.compile(r"(\+|00)\d[\d\s().\-/]{6,18}\d")
_IBAN = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}")
_DIGITS = re.compile(r"\d{13,19}")


def person_in(guess: Guess) -> tuple[float, str]:
    """Return how sure it is that a column's values name or follow a person, and why; 0 where nothing says so.

    >>> from headrace.init.guess import ColumnKind
    >>> text = ColumnKind(type="string", sure=1, why="")
    >>> person_in(Guess(name="c", place=("c",), kind=text, values=["a@b.com", "c@d.org"], missing=0))
    (0.95, 'e-mail addresses')
    """
    texts = list(dict.fromkeys(str(value) for value in guess.values if value is not None))[:SAMPLE]
    if guess.kind.type not in ("string", "integer", "time") or not texts:
        return 0.0, ""
    for look, what in _LOOKS:
        if guess.kind.type == "string" and _most(texts, look):
            return 0.95, what
    words = set(words_of(guess.name if guess.kind.type == "string" else guess.name.rpartition("_")[2]))
    joined = "".join(words_of(guess.place[-1]))
    if words & OF_PERSONS or joined in OF_PERSONS:
        return 0.85, "as its name says"
    if "name" in words and words & OF_PEOPLE:
        return 0.85, "names of people"
    if guess.kind.type == "string" and words_of(guess.place[-1])[-1:] == ("name",) and not guess.kind.enum:
        return 0.6, "names, maybe of people"
    return 0.0, ""


def _most(texts: Sequence[str], look: str) -> bool:
    return sum(_IS[look](text) for text in texts) >= 0.9 * len(texts)


def _is_address(text: str) -> bool:
    if text.count(".") != 3 and ":" not in text:
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _has_check_digit(text: str) -> bool:
    """Return whether a text is a long number with a check digit at its end."""
    digits = text.replace(" ", "").replace("-", "")
    if not _DIGITS.fullmatch(digits):
        return False
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


_IS = {
    "email": lambda text: _EMAIL.fullmatch(text) is not None,
    "ip": _is_address,
    "phone": lambda text: _PHONE.fullmatch(text) is not None,
    "iban": lambda text: (
        _IBAN.fullmatch(text.replace(" ", "")) is not None and any(map(str.isdigit, text[4:]))
    ),
    "digits": _has_check_digit,
}
_LOOKS = (
    ("email", "e-mail addresses"), ("ip", "network addresses"), ("phone", "telephone numbers"),
    ("iban", "bank accounts"), ("digits", "account numbers, by their check digit"),
)  # fmt: skip
