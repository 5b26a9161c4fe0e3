"""Each snippet of docs/feast.md runs, in the order of the page, beside rows that the stream wrote."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from load.this_project import CUSTOMER, TERMINAL
from tests.integration.feast_place import CHECKOUT, Place, place_with_redis
from tests.integration.test_feast import END_MS, write, write_feature_log

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # ibis, on DuckDB 2.0
    pytest.mark.filterwarnings("ignore:On demand feature view:RuntimeWarning"),
]
PAGE = CHECKOUT / "docs" / "feast.md"
END = datetime.fromtimestamp(END_MS / 1000, UTC).date()


def snippets() -> list[tuple[str, str]]:
    return re.findall(r"```(python|sh)\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place_with_redis(tmp_path_factory.mktemp("page"), "page") as made:
        write_feature_log(made.run.lake)
        for entity in (CUSTOMER, TERMINAL):
            write(made, entity, np.ones((3, len(entity.columns))))
        yield made


def test_the_page_runs_from_its_first_snippet_to_its_last(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, object] = {}
    kinds = []
    for kind, text in snippets():
        kinds.append(kind)
        if kind == "python":
            exec(compile(text, str(PAGE), "exec"), names)
            continue
        for line in text.strip().splitlines():
            command = [str(Path(sys.executable).with_name(shlex.split(line)[0])), *shlex.split(line)[1:]]
            done = subprocess.run(
                command, cwd=CHECKOUT / "feature_repo", env=place.environment(), text=True, timeout=120,
                capture_output=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, (line, done.stdout, done.stderr)
    assert kinds.count("python") == 6
    assert kinds.count("sh") == 3
    history = names["history"]
    assert len(history) == 2  # type: ignore[arg-type]
    assert len(names["vector"]) == 52  # type: ignore[arg-type]
    assert "customer_count_24h" in names["now"]  # type: ignore[operator]
    assert "customer_profile" in capsys.readouterr().out


def test_what_feast_ui_imports_is_installed() -> None:
    import feast.registry_server as served

    assert served.RegistryServer is not None
