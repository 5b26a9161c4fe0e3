"""What should become none only becomes less: the numbers are in tools/shape_limits.toml."""

import tomllib
from pathlib import Path

import pytest

from tools.shape.measure import Findings, findings

CHECKOUT = Path(__file__).resolve().parents[2]
FILE = CHECKOUT / "tools" / "shape_limits.toml"
LIMITS: dict[str, int] = tomllib.loads(FILE.read_text())


@pytest.fixture(scope="module")
def found() -> Findings:
    return findings(CHECKOUT)


def test_every_count_has_its_limit(found: Findings) -> None:
    assert LIMITS.keys() == found.limits().keys()


@pytest.mark.parametrize("name", LIMITS)
def test_a_count_does_not_grow_and_its_limit_falls_with_it(found: Findings, name: str) -> None:
    count, limit = found.limits()[name], LIMITS[name]
    shown = "\n".join(str(one) for one in getattr(found, name))
    assert count <= limit, f"{name}: {count}, at most {limit} may be; take the new one away:\n{shown}"
    assert count == limit, f"{name}: only {count} are left; write `{name} = {count}` in {FILE}"
