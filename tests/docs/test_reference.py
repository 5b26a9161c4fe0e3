"""The reference pages say what the code says."""

import pytest

from headrace.reference import FOLDER, pages


@pytest.mark.parametrize("name", ["features.md", "topics.md", "settings.md", "commands.md"])
def test_a_reference_page_is_what_the_code_makes(name):
    assert (FOLDER / name).read_text() == pages()[name], "run `make docs`"
