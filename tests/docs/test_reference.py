"""The reference pages say what the code says."""

import pytest

from features.project.running import project_of_process
from headrace.reference import FOLDER, pages

FACTS = ("State", "Formula", "Empty", "Bound", "Error", "Order", "Source")


@pytest.mark.parametrize(
    "name", ["features.md", "aggregations.md", "topics.md", "settings.md", "commands.md"]
)
def test_a_reference_page_is_what_the_code_makes(name):
    assert (FOLDER / name).read_text() == pages(project_of_process())[name], "run `make docs`"


def test_every_aggregation_has_a_page_with_all_it_must_say():
    text = pages(project_of_process())["aggregations.md"]
    for page in text.split("\n## ")[2:]:
        assert [f for f in FACTS if f"- **{f}**: " not in page] == [], page.splitlines()[0]
    assert text.count("\n## ") == 1 + 15  # windows, and a page a file
