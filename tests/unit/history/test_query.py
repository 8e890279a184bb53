"""A question becomes a query that is narrowed to the caller's accounts, whatever is asked."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrail_history.access import ALL_ACCOUNTS, Scope
from opstrail_history.filters import BY_NAME, FILTERS, Filters, Value, filters_of, parameters
from opstrail_history.query import event_query, narrowed, sort_of
from opstrail_history.refusals import BadQuery
from opstrail_history.request_query import (
    choice,
    link,
    openapi_parameters,
    question,
    whole_number,
)

SCOPE = Scope(frozenset({"111122223333"}))


def asked(*pairs, since=None, until=None, q=None):
    return filters_of(parameters(pairs), since=since, until=until, text=q, now_ms=10_000_000)


def filter_part(filters, scope=ALL_ACCOUNTS):
    return event_query(filters, scope)["bool"]["filter"]


def test_nothing_asked_finds_all_in_scope_and_no_more():
    assert [{"match_all": {}}] == filter_part(Filters())
    assert [{"terms": {"opstrail.accountId": ["111122223333"]}}] == filter_part(Filters(), SCOPE)
    assert [] == filter_part(Filters(), Scope(frozenset()))[0]["terms"]["opstrail.accountId"]


def test_values_of_one_filter_are_alternatives_in_each_of_its_fields():
    [query] = filter_part(asked(("stack", "shop"), ("stack", "web*")))

    assert 1 == query["bool"]["minimum_should_match"]
    assert [
        {"terms": {"opstrail.stack.id": ["shop"]}},
        {"prefix": {"opstrail.stack.id": {"value": "web"}}},
        {"terms": {"opstrail.stack.name": ["shop"]}},
        {"prefix": {"opstrail.stack.name": {"value": "web"}}},
    ] == query["bool"]["should"]


def test_an_exclamation_mark_excludes_in_every_field():
    query = event_query(asked(("account", "!prod")), ALL_ACCOUNTS)["bool"]

    assert [
        {"terms": {"opstrail.accountId": ["prod"]}},
        {"terms": {"opstrail.account.name": ["prod"]}},
    ] == query["must_not"]


def test_time_is_from_and_before():
    assert [
        {"range": {"eventTime": {"gte": 0, "lt": 86_400_000, "format": "epoch_millis"}}}
    ] == filter_part(asked(since="1970-01-01", until="1970-01-01"))


@pytest.mark.parametrize(
    ("value", "query"),
    [
        ("203.0.113.7", {"term": {"opstrail.sourceIP": "203.0.113.7"}}),
        ("203.0.113.7/24", {"term": {"opstrail.sourceIP": "203.0.113.0/24"}}),
        ("2001:db8::/32", {"term": {"opstrail.sourceIP": "2001:db8::/32"}}),
        ("AWS Internal", {"terms": {"sourceIPAddress": ["AWS Internal"]}}),
        ("config.amazonaws.com", {"terms": {"sourceIPAddress": ["config.amazonaws.com"]}}),
        ("203.0.*", {"prefix": {"sourceIPAddress": {"value": "203.0."}}}),
    ],
)
def test_addresses_blocks_and_host_names(value, query):
    assert [query] == filter_part(asked(("sourceIP", value)))


def test_a_service_may_be_named_shortly():
    assert [{"terms": {"eventSource": ["s3.amazonaws.com", "aws.example.com"]}}] == filter_part(
        asked(("source", "s3"), ("source", "aws.example.com"))
    )
    assert [{"prefix": {"eventSource": {"value": "s"}}}] == filter_part(asked(("source", "s*")))


@pytest.mark.parametrize("name", ["readOnly", "outcome"])
def test_choices_become_queries_that_are_each_others_complement(name):
    queries = {one: filter_part(asked((name, one))) for one in BY_NAME[name].choices}

    assert len(queries) == len({json.dumps(query) for query in queries.values()})


@pytest.mark.parametrize(
    ("in_text", "pair"),
    [
        ("source:s3", ("source", "s3")),
        ("readOnly:yes", ("readOnly", "yes")),
        ("stack:!shop*", ("stack", "!shop*")),
        ("-stack:!shop", ("stack", "shop")),
        ("sourceIP:203.0.113.7/24", ("sourceIP", "203.0.113.0/24")),
    ],
)
def test_a_filter_in_the_text_asks_what_the_filter_asks(in_text, pair):
    def everything(filters):
        query = event_query(filters, ALL_ACCOUNTS)["bool"]
        excluded = [one["bool"]["should"] if "bool" in one else [one] for one in query["must_not"]]
        return query["filter"], [part for parts in excluded for part in parts]

    assert everything(asked(pair)) == everything(asked(q=in_text))


@pytest.mark.parametrize("text", ["readOnly:maybe", "outcome:al*", "sourceIP:x/8", "awsService:y"])
def test_a_filter_in_the_text_refuses_what_the_filter_refuses(text):
    with pytest.raises(BadQuery):
        asked(q=text)


def test_more_parts_than_the_store_takes_are_refused_before_it_is_asked():
    words = " ".join(f"w{at}" for at in range(20))
    values = [("resource", f"v{at}*") for at in range(80)]
    event_query(asked(q=words), ALL_ACCOUNTS)

    with pytest.raises(BadQuery, match="too many parts"):
        event_query(asked(*values, q=words), ALL_ACCOUNTS)


def test_a_word_is_looked_for_in_fields_that_are_listed_and_never_parsed():
    [query] = filter_part(asked(q='eventName:A* OR 203.0.113.7"'))[:1]

    assert "query_string" not in json.dumps(query)
    addresses = filter_part(asked(q="203.0.113.0/24"))[0]["bool"]["should"]
    assert {"term": {"opstrail.sourceIP": "203.0.113.0/24"}} in addresses
    words = filter_part(asked(q="web*"))[0]["bool"]["should"]
    assert {"match_phrase_prefix": {"errorMessage": "web"}} in words
    excluded = event_query(asked(q="-stack:shop*"), ALL_ACCOUNTS)["bool"]["must_not"]
    assert {"prefix": {"opstrail.stack.id": {"value": "shop"}}} in excluded[0]["bool"]["should"]


@pytest.mark.parametrize(
    "pairs",
    [
        [("name", "")],
        [("name", "!")],
        [("name", "*Stack")],
        [("name", "?tack")],
        [("name", "x" * 513)],
        [("readOnly", "maybe")],
        [("sourceIP", "1.2.3.4/99")],
        [("name", str(at)) for at in range(101)],
    ],
)
def test_what_cannot_be_meant_is_refused(pairs):
    with pytest.raises(BadQuery):
        asked(*pairs)


def test_since_after_until_is_refused():
    with pytest.raises(BadQuery, match="later"):
        asked(since="2024-02-01", until="2024-01-01")


def test_parameters_that_are_not_known_do_not_widen_a_search():
    with pytest.raises(BadQuery, match="acct"):
        question([("acct", "1")], now_ms=0)
    with pytest.raises(BadQuery, match="twice"):
        question([("q", "a"), ("q", "b")], now_ms=0)
    known = question([("account", "1"), ("size", "5"), ("q", "a")], now_ms=0, besides=("size",))
    assert (Value("1"),) == known.values["account"]


@pytest.mark.parametrize("text", ["0", "-1", "1001", "1e3", "", "٣", "9" * 12])
def test_a_number_is_within_its_bounds(text):
    with pytest.raises(BadQuery):
        whole_number(text, "size", default=5, most=1_000)
    assert 5 == whole_number(None, "size", default=5, most=1_000)
    assert 1_000 == whole_number("1000", "size", default=5, most=1_000)


def test_a_choice_is_one_of_its_words():
    assert "a" == choice(None, "x", ["a", "b"])
    assert "b" == choice("b", "x", ["a", "b"])
    with pytest.raises(BadQuery):
        choice("c", "x", ["a", "b"])


def test_the_order_is_total_and_the_same_backwards():
    assert [list(each) for each in sort_of()] == [
        list(each) for each in sort_of(newest_first=False)
    ]
    assert {"opstrail.eventID": {"order": "asc"}} in sort_of(newest_first=False)


def test_every_filter_is_described_for_openapi():
    described = {one["name"]: one for one in openapi_parameters({"name": "size"})}

    assert {one.name for one in FILTERS} | {"since", "until", "q", "size"} == described.keys()
    assert ["yes", "no"] == described["readOnly"]["schema"]["items"]["enum"]
    assert "name=a+b&name=c" == link([("name", "a b"), ("name", "c")])


words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)


@given(
    st.lists(st.tuples(st.sampled_from([one.name for one in FILTERS]), words), max_size=8), words
)
def test_whatever_is_asked_the_accounts_in_scope_are_the_first_condition(pairs, text):
    try:
        filters = asked(*pairs, q=text)
    except BadQuery:
        return

    query = event_query(filters, SCOPE)

    assert {"terms": {"opstrail.accountId": ["111122223333"]}} == query["bool"]["filter"][0]
    assert {"bool"} == query.keys()
    assert query["bool"].keys() == {"filter", "must_not"}


def test_any_other_query_is_narrowed_as_well():
    assert {
        "bool": {
            "filter": [
                {"terms": {"opstrail.accountId": ["111122223333"]}},
                {"term": {"requestID": "r"}},
            ]
        }
    } == narrowed({"term": {"requestID": "r"}}, SCOPE)


def test_the_same_question_has_the_same_canonical_text():
    first = asked(("name", "A"), ("region", "r"), q="a b")
    second = asked(("region", "r"), ("name", "A"), q="a b")

    assert first.canonical() == second.canonical()
    assert first.without("region").canonical() == asked(("name", "A"), q="a b").canonical()
