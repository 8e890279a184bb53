"""People's commands: options, how events look, what a download must end with."""

import json

import click
import pytest

from opstrail_cli import search_view
from opstrail_cli.history_client import Refused
from opstrail_cli.search_commands import _check_ending, _counted, export, search
from opstrail_cli.search_options import option_name, parameters
from opstrail_history.export_formats import writer
from opstrail_history.filters import FILTERS

EVENT = {
    "id": "111122223333/e-1", "time": "2024-01-02T00:00:00Z",
    "who": {"name": "ada\x1b[31m", "kind": "iamUser", "arn": "arn:x"},
    "address": "203.0.113.7", "action": "StopInstance", "source": "opsworks.amazonaws.com",
    "targets": ["web1", "web2", "web3"], "account": "111122223333", "accountName": "prod",
    "region": "us-east-1", "stack": {"id": "s-1", "name": "shop"}, "outcome": "denied",
    "errorCode": "AccessDenied", "accessKey": None, "flags": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "option"),
    [("sourceIP", "--source-ip"), ("eventId", "--event-id"), ("readOnly", "--read-only"),
     ("rootOrIamUser", "--root-or-iam-user"), ("name", "--name")],
)  # fmt: skip
def test_filters_have_options(name, option):
    assert option == option_name(name)


def test_every_filter_can_be_asked_for():
    options = {name for parameter in search.params for name in parameter.opts}

    assert {option_name(one.name) for one in FILTERS} <= options
    assert len(FILTERS) == len({option_name(one.name) for one in FILTERS})


def test_what_is_given_becomes_parameters():
    arguments = [
        "--stack",
        "shop",
        "--stack",
        "!x",
        "--since",
        "2h",
        "--source-ip",
        "1.2.3.4",
        "a",
        "b",
    ]
    given = search.make_context("search", arguments).params

    assert [("q", "a b"), ("since", "2h"), ("stack", "shop"), ("stack", "!x"),
            ("sourceIP", "1.2.3.4")] == parameters(given)  # fmt: skip
    assert {"number", "oldest_first", "as_json"} == given.keys()


def test_choices_are_checked_before_anything_is_asked():
    with pytest.raises(click.BadParameter):
        export.make_context("export", ["--read-only", "maybe"])


def test_no_event_can_steer_the_terminal():
    for wide in (True, False):
        cells = search_view.cells(EVENT, wide=wide)
        assert not any("\x1b" in cell.plain for cell in cells)
    assert "ada⟨U+001B⟩[31m" in search_view.line(EVENT).plain
    assert 9 == len(search_view.table([EVENT], wide=True).columns)
    assert 7 == len(search_view.table([EVENT], wide=False).columns)


def test_an_event_is_told_with_what_stands_behind_it():
    found = {"event": EVENT, "opstrail": {"delivery": {"bucket": "b", "key": "k"}},
             "file": {"state": "done", "records": 3}}  # fmt: skip
    chain = {"steps": [{"event": EVENT}, {"event": EVENT}], "said": "the end", "notes": ["odd"]}

    lines = [
        line.plain
        for line in search_view.details(
            found, {"groups": {"request": [EVENT], "shared": []}}, chain
        )
    ]

    assert "StopInstance denied: AccessDenied" == lines[0]
    assert "file        b/k" in lines
    assert "ledger      done, 3 records" in lines
    assert ["  the end", "  odd"] == [line for line in lines if line in {"  the end", "  odd"}]
    assert "Related: request" in lines
    assert "Related: shared" not in lines


def test_an_event_without_much_is_told_as_well():
    bare = {**EVENT, "time": None, "stack": None, "accountName": None, "errorCode": None,
            "outcome": "allowed", "address": None, "region": None}  # fmt: skip
    lines = list(
        search_view.details(
            {"event": bare, "opstrail": {}, "file": None}, {"groups": {}},
            {"steps": [], "said": "x", "notes": []},
        )
    )  # fmt: skip

    assert "no time" in search_view.line(bare).plain
    assert "StopInstance allowed" == lines[0].plain


@pytest.mark.parametrize("form", ["ndjson", "records", "csv"])
def test_a_download_is_believed_by_its_ending_only(form):
    made = writer(form)
    body = json.dumps({"a": 1}).encode()[:-1] + b',"opstrail":{"accountId":"1"}}'
    text = (made.begin() + made.event("1/e", body) + made.end()).decode()

    _check_ending(form, text)
    assert "1 events" in _counted(form, text)
    for cut in (text[:-4], text[: len(text) // 2], "", made.end(why="away").decode()):
        with pytest.raises(Refused, match="INCOMPLETE"):
            _check_ending(form, cut)
