"""One change of a registry in a process of its own, for tests that end it at a named point.

`python -m tests.unit.inference.registry_that_dies STORE MODELS promote fraud/0001-... [EXPECTED]`
"""

import sys
from pathlib import Path

from contracts.errors import ModelError
from inference.release.registry import Change, Registry
from tests.unit.inference.stores import store

CHANGE = Change(who="dying", at_ms=2, why="to see what is left")


def main() -> None:
    """Do what the arguments say; a refusal is told by its code."""
    kind, models, what, *rest = sys.argv[1:]
    registry = Registry(Path(models), store(kind, Path(models)))
    try:
        if what == "add":
            manifest = {"definitions_hash": "0" * 16, "features": ["a"]}
            registry.add("fraud", {"model.txt": b"dying", "golden.json": b"{}"}, manifest, CHANGE)
        elif what == "rollback":
            registry.rollback(CHANGE)
        else:
            expected = int(rest[1]) if len(rest) > 1 else None
            registry.promote(rest[0], CHANGE, what, expected=expected)  # type: ignore[arg-type]
    except ModelError as error:
        print(error.code)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
