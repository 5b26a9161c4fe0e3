"""The page on drift says what the stored evaluation says, and what the settings are."""

import re

import msgspec

from inference.drift.settings import DriftSettings
from load.bench.drift.page import PAGE, written


def test_the_tables_are_what_the_stored_evaluation_makes() -> None:
    text = PAGE.read_text()
    assert text == written(text), "run `python -m load.bench.drift.page`"


def test_every_setting_stands_on_the_page_with_its_default() -> None:
    text = PAGE.read_text()
    for field in msgspec.structs.fields(DriftSettings):
        default = field.default or "those of the project (`Model(watched=…)`)"
        row = rf"\| `HEADRACE_DRIFT_{field.name.upper()}` \| {re.escape(str(default))} \|"
        assert re.search(row, text), f"{field.name} = {field.default}"
