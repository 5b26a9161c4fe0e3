"""The page on chaos runs says what the stored reports say."""

from load.chaos.page import PAGE, page


def test_the_page_is_what_the_stored_reports_make() -> None:
    assert PAGE.read_text() == page(), "run `python -m load.chaos page`"
