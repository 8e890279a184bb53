"""Generated parts of hand-written pages are as old as what they are made from."""

from pathlib import Path

import pytest

from tools.docs.generated_parts import PACKAGES, PARTS, ROOT, with_parts


@pytest.mark.parametrize("page", PARTS, ids=lambda page: page.name)
def test_the_parts_of_a_page_are_up_to_date(page: Path) -> None:
    text = page.read_text("utf-8")

    assert text == with_parts(text, PARTS[page]), "python -m tools.docs.generated_parts"


@pytest.mark.parametrize("page", PARTS, ids=lambda page: page.name)
def test_a_page_has_each_of_its_parts_once(page: Path) -> None:
    text = page.read_text("utf-8")

    assert [1] * len(PARTS[page]) == [text.count(f"<!-- made: {name} ") for name in PARTS[page]]


def test_the_file_map_has_every_package() -> None:
    packages = {path.parent for path in ROOT.glob("*/**/opstrail_*/**/__init__.py")}

    assert {ROOT / package for package in PACKAGES} == packages - {
        path for path in packages if ".venv" in path.parts
    }


def test_a_part_is_replaced_and_what_stands_around_it_is_not() -> None:
    page = "a\n<!-- made: topics by x -->\nold\n<!-- made: end -->\nb\n"

    assert "a\n<!-- made: topics by x -->\nnew\n<!-- made: end -->\nb\n" == with_parts(
        page, {"topics": lambda: "new"}
    )
