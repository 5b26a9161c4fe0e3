"""What an operator may set on the decision policy of a process."""

from pathlib import Path

import msgspec


class PolicySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the decision policy is, and how often it is looked at.

    Without `file` it is `policy.yaml` in the registry's folder, or the default that comes with the code.
    """

    file: Path | None = None
    look_ms: float = 1000.0
