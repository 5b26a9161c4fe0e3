"""The error tree. Every error says what happened, where, and what to do next, and has a code.

HeadraceError
├── ConfigError      a setting, contract or command line that cannot be used        exit 2
├── ContractError    bytes that break a contract (records, frames)                  exit 3
├── ClusterError     a server, topic or permission that is not as it must be        exit 4
├── StateError       state that may not be used: other definitions, offset ahead    exit 5
├── ModelError       a model or registry entry that may not be served               exit 6
└── Stop             ends this incarnation of a worker, which restarts from its     exit 70-79
                     marker (a delivery error, a fence, a hole in the input)
"""

from typing import ClassVar


class HeadraceError(Exception):
    """Base of all our errors.

    >>> error = HeadraceError("E_EXAMPLE", "the lake is empty", "runs/main/lake", "run `headrace up` first")
    >>> print(error)
    E_EXAMPLE: the lake is empty (runs/main/lake); run `headrace up` first
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, what: str, where: str = "", next_step: str = "") -> None:
        super().__init__(code, what, where, next_step)
        self.code = code
        self.what = what
        self.where = where
        self.next_step = next_step

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        advice = f"; {self.next_step}" if self.next_step else ""
        return f"{self.code}: {self.what}{place}{advice}"


class ConfigError(HeadraceError):
    """A setting, a contract file or a command line cannot be used as it is."""

    exit_code = 2


class ContractError(HeadraceError):
    """Bytes break a contract."""

    exit_code = 3


class ClusterError(HeadraceError):
    """A server, a topic or a permission is not as it must be."""

    exit_code = 4


class StateError(HeadraceError):
    """Stored state may not be used by this process."""

    exit_code = 5


class ModelError(HeadraceError):
    """A model or a registry entry may not be served."""

    exit_code = 6


class Stop(HeadraceError):
    """The incarnation of a worker must end; its successor goes on from the last marker.

    `exit_code` is the instance's own: 70 internal, 71 delivery, 72 offset ahead, 73 hole in the input,
    74 checkpoint or Kafka transaction, 75 take-over, 76 store.
    """

    def __init__(self, exit_code: int, code: str, what: str, where: str = "") -> None:
        super().__init__(code, what, where, "the supervisor restarts the worker from its last marker")
        self.exit_code = exit_code  # type: ignore[misc]  # a class default elsewhere, an instance's fact here
