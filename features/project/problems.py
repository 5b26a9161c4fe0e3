"""All that is wrong in a project, collected while it is read."""

from collections.abc import Iterable

from contracts.errors import ConfigError
from contracts.problem import Problem, nearest_name
from features.declare import WrittenAt


class Problems:
    """A list of problems that grows while a project is checked.

    >>> problems = Problems()
    >>> here = WrittenAt("features.py", 3)
    >>> problems.note(here, "E_EXAMPLE", "no field 'amout'", "name a field", ("amout", ["amount"]))
    >>> print(problems.found[0])
    features.py:3: E_EXAMPLE: no field 'amout'; name a field: did you mean 'amount'?
    """

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def note(
        self, at: WrittenAt, code: str, what: str, remedy: str, near: tuple[str, Iterable[str]] = ("", ())
    ) -> None:
        """Note a problem.

        Args:
            near: a wrong name, and the right ones, of which the most like it is named.
        """
        problem = Problem(
            file=at.file, line=at.line, code=code, what=what, remedy=remedy, nearest=nearest_name(*near)
        )
        if problem not in self.found:
            self.found.append(problem)

    def note_error(self, at: WrittenAt, error: ConfigError, of: str = "") -> None:
        """Note what the engine refuses; `of` says whose it is where the error does not."""
        whose = f"{of}: " if of else ""
        self.note(at, error.code, f"{whose}{error.what}", error.next_step)
