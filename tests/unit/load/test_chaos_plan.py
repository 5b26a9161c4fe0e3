"""A chaos run that cannot be is refused before any server is started."""

from pathlib import Path

import pytest

from contracts.errors import ConfigError
from load.chaos.plan import ChaosPlan
from load.chaos.run import run_chaos


def test_a_fault_that_there_is_not_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(ConfigError, match="kill:nobody"):
        run_chaos(ChaosPlan(seed=1, faults=("kill:nobody",)), tmp_path, tell=said.append)
    assert said == []
    assert list(tmp_path.iterdir()) == []
