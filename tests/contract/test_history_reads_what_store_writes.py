"""History and store share no code: the documents between them are held together here."""

from collections.abc import Iterator

import msgspec

from opstrail_history import facets, query, related, row
from opstrail_history.filters import FILTERS
from opstrail_history.stored_document import record_in
from opstrail_store.document import event_body, ours_and_raw, reduced_body
from opstrail_store.mapping import DEAD_LETTER_FIELDS, EVENT_FIELDS, FILE_FIELDS
from tests.support.enriched import a_raw, an_enriched

MAPPED = {field.path: field.kind for field in EVENT_FIELDS}


def test_every_field_that_is_searched_is_mapped() -> None:
    searched = {name for one in FILTERS for name in one.fields}
    searched |= set(query._TEXT_FIELDS) | set(query._FREE_FIELDS) | set(facets.FACETS.values())

    assert set() == searched - MAPPED.keys()


def test_fields_that_are_counted_or_sorted_by_are_words() -> None:
    sorted_by = {name for each in query.sort_of() for name in each}

    assert {"keyword", "iso_date"} >= {MAPPED[name] for name in sorted_by}
    assert {"keyword"} == {MAPPED[name] for name in facets.FACETS.values()}
    assert "ip" == MAPPED["opstrail.sourceIP"]


def test_fields_of_queries_that_are_written_out_are_mapped() -> None:
    document = {
        "sharedEventID": "s", "requestID": "r", "resources": [{"ARN": "a"}],
        "opstrail": {"accessKeyId": "ASIA", "issuedAccessKeyId": "k", "corrects": "c",
                     "caller": {"arn": "a", "name": "n"},
                     "stack": {"id": "s", "instanceIds": ["i"]}},
    }  # fmt: skip
    queries = related.related_queries("1/e", document, (1,)).values()
    named = {name for one in queries for name in _fields(one.query)} | set(_fields(query.reads()))
    named |= {"opstrail.delivery.storedAt", "opstrail.issuedAccessKeyId", "opstrail.corrects"}

    assert set() == named - MAPPED.keys()


def _fields(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for name, member in value.items():
            if name in {"term", "terms", "prefix"}:
                yield from member
            elif name == "exists":
                yield member["field"]
            else:
                yield from _fields(member)
    elif isinstance(value, list):
        for member in value:
            yield from _fields(member)


def test_a_row_is_made_of_fields_that_documents_have() -> None:
    paths = {path for field in MAPPED for path in _prefixes(field)}

    assert set() == set(row.ROW_FIELDS) - paths


def _prefixes(path: str) -> set[str]:
    parts = path.split(".")
    return {".".join(parts[: at + 1]) for at in range(len(parts))}


def test_fields_of_the_other_collections_are_mapped() -> None:
    letters = {field.path for field in DEAD_LETTER_FIELDS}
    files = {field.path for field in FILE_FIELDS}

    assert {
        "stage",
        "reason",
        "bucket",
        "key",
        "accountId",
        "retryAt",
        "failedAt",
        "letterKey",
    } <= letters
    assert {"state", "bucket", "key", "accountId", "awsRegion", "updatedAt"} <= files


def test_the_record_is_read_back_as_store_reads_it() -> None:
    events = [
        an_enriched(),
        an_enriched(a_raw(requestParameters="text", note="é\u2028")),
        an_enriched(a_raw()[:-1] + b',"bad":"\xff"}'),
        an_enriched(b"not json"),
    ]
    for event in events:
        for body in (event_body(event, stored_at=1), reduced_body(event, stored_at=1, why="x")):
            ours, raw = ours_and_raw(body)
            found = record_in(body)
            assert (raw, ours) == (found.raw, found.ours)
            assert "accountId" in msgspec.json.decode(found.ours)
