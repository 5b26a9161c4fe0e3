"""The tests on docs/testing.md hold as they stand there."""

import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from headrace.__main__ import cli

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = (CHECKOUT / "docs" / "testing.md").read_text()


def block(form: str, says: str) -> str:
    """Return the page's block of code of a form that says something."""
    found = re.findall(rf"```{form}\n(.*?)```", PAGE, re.DOTALL)
    return next(str(one) for one in found if says in one)


@pytest.mark.parametrize(
    ("file", "text"),
    [("page.yaml", block("yaml", "tests:")), ("test_page.py", block("python", "def test_"))],
    ids=["yaml", "python"],
)
def test_what_the_page_shows_holds(tmp_path: Path, file: str, text: str) -> None:
    folder = shutil.copytree(CHECKOUT / "examples" / "logins", tmp_path / "logins")
    shutil.rmtree(folder / "tests")
    (folder / "tests").mkdir()
    (folder / "tests" / file).write_text(text)
    answer = CliRunner().invoke(cli, ["test", "--project", str(folder)])
    assert answer.exit_code == 0, answer.output
    assert "1 test, all hold" in answer.output
