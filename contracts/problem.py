"""One thing that is wrong in what a person wrote, so that all of them can be shown at once."""

import difflib
from collections.abc import Iterable

import msgspec

from contracts.errors import ConfigError


class Problem(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A mistake in a file: where it is, what it is, and what to do about it.

    Args:
        file: path of the file.
        line: counted from 1.
        nearest: the right name that is most like the wrong one; empty where there is none.

    >>> problem = Problem(file="a.yaml", line=3, code="E_EXAMPLE", what="no field 'amout'",
    ...                   remedy="name a field", nearest="amount")
    >>> print(problem)
    a.yaml:3: E_EXAMPLE: no field 'amout'; name a field: did you mean 'amount'?
    """

    file: str
    line: int
    code: str
    what: str
    remedy: str
    nearest: str = ""

    @property
    def advice(self) -> str:
        """What to do, with the nearest right name."""
        return f"{self.remedy}: did you mean {self.nearest!r}?" if self.nearest else self.remedy

    @property
    def error(self) -> ConfigError:
        """The same as an error, for a process that cannot go on."""
        return ConfigError(self.code, self.what, f"{self.file}:{self.line}", self.advice)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.code}: {self.what}; {self.advice}"


def nearest_name(name: str, known: Iterable[str]) -> str:
    """Return the known name most like `name`; empty when none is like it.

    >>> nearest_name("devise_id", ["device_id", "account_id"])
    'device_id'
    """
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)), "")
