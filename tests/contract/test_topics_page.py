"""The reference page of the topics is as old as the topics."""

from tools.docs.topics_page import PAGE, page


def test_the_topics_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == page(), "python -m tools.docs.topics_page"
