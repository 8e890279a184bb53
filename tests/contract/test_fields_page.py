"""The page of the fields is as fresh as the mapping."""

from pathlib import Path

from opstrail_store.fields_page import page

PAGE = Path(__file__).parents[2] / "docs/reference/fields.md"


def test_the_page_of_the_fields_is_fresh():
    assert page() == PAGE.read_text(), (
        "python -m opstrail_store.fields_page > docs/reference/fields.md"
    )
