"""Downloads: every form ends with a count, and no cell is a formula."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrail_history.export_formats import CLOSING, COLUMNS, csv_line, safe_cell, writer


def source(record, **ours):
    ours = {"accountId": "1", "eventID": "e", **ours}
    return json.dumps(record).encode()[:-1] + b',"opstrail":' + json.dumps(ours).encode() + b"}"


ONE = source({"eventName": "A", "recipientAccountId": "1"})
TWO = source({"eventName": "B", "recipientAccountId": "2"}, flags=["derivedEventID"])
ODD = source({"eventName": "C"}, rawText="not json")


def whole(form, *sources, why=None):
    made = writer(form)
    events = b"".join(made.event("1/e", each) for each in sources)
    return made.begin() + events + made.end(why=why)


def test_records_can_be_taken_in_again_and_tell_what_would_be_new():
    found = json.loads(whole("records", ONE, TWO))

    assert [{"eventName": "A", "recipientAccountId": "1"}, {"eventName": "B",
            "recipientAccountId": "2"}] == found["Records"]  # fmt: skip
    assert {
        "complete": True, "events": 2, "withoutEventID": 1, "otherAccountThanItsKey": 1,
        "unreadable": 0,
    } == found[CLOSING]  # fmt: skip


def test_no_records_are_a_list_as_well():
    assert [] == json.loads(whole("records"))["Records"]


def test_a_record_that_is_no_json_is_written_as_it_is_and_a_strange_document_is_counted():
    made = writer("records")

    assert b"not json" == made.event("1/e", ODD)
    assert b"" == made.event("1/e", b'{"no":"opstrail"}')
    assert b'"unreadable":1' in made.end()


def test_ndjson_holds_whole_documents_and_a_closing_line():
    *documents, closing = whole("ndjson", ONE, TWO).splitlines()

    assert [ONE, TWO] == documents
    assert 2 == json.loads(closing)[CLOSING]["events"]


@pytest.mark.parametrize("form", ["ndjson", "records", "csv"])
def test_a_download_that_was_cut_off_says_so(form):
    text = whole(form, ONE, why="the store is away").decode()

    assert "the store is away" in text
    assert '"complete":false' in text or "INCOMPLETE" in text


def test_a_table_has_a_line_for_each_event_and_one_that_counts():
    lines = list(csv.reader(io.StringIO(whole("csv", ONE, TWO).decode("utf-8-sig"))))

    assert [list(COLUMNS), "A", "B"] == [lines[0], lines[1][8], lines[2][8]]
    assert ["# complete: 2 events"] == lines[3]


@pytest.mark.parametrize(
    "cell",
    ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\0=1", " =1",
     "\u00a0=1", "＝1"],  # noqa: RUF001
)  # fmt: skip
def test_what_a_spreadsheet_would_run_gets_an_apostrophe(cell):
    assert safe_cell(cell).startswith("'")


def test_other_cells_stay_as_they_are():
    assert ["", "true", "a, b", "5", "x=1"] == [
        safe_cell(value) for value in (None, True, ("a", "b"), 5, "x=1")
    ]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1))
def test_any_cells_come_back_from_a_line_and_none_is_a_formula(cells):
    [read] = csv.reader(io.StringIO(csv_line(cells).decode(), newline=""))

    assert cells == [cell.removeprefix("'") if not raw.startswith("'") else cell
                     for cell, raw in zip(read, cells, strict=True)]  # fmt: skip
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in read)
