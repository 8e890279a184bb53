"""Sigma's CloudTrail rules run unchanged against the store, and find what they find in the files.

pySigma converts each rule for OpenSearch. The oracle walks pySigma's own parse of the rule over the
records in the files, and compares as the mapping does: keywords exactly, words as words.
"""

import gzip
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import pytest
from sigma.backends.opensearch.opensearch import OpensearchLuceneBackend
from sigma.collection import SigmaCollection
from sigma.conditions import (
    ConditionAND,
    ConditionFieldEqualsValueExpression,
    ConditionNOT,
    ConditionOR,
)
from sigma.exceptions import SigmaError
from sigma.types import (
    SigmaBool,
    SigmaExists,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SpecialChars,
)

from opstrail_cli.sample.archive import archive
from opstrail_cli.sample.folder import write
from tests.support.corpora import CORPORA, corpora
from tests.support.corpora_records import records_below
from tests.support.figures import Figure
from tests.support.installed import FEW_PARTITIONS, Installed, installed
from tests.support.servers import Servers

OWN = Path(__file__).parents[2] / "examples" / "sigma"
TEXT_FIELDS = {"errorMessage"}  # words, not a keyword
# Neither can be asked of OpenSearch: values for its placeholders, and a comparison of two fields.
UNASKED = {"aws_cloudtrail_console_login_success_from_susp_locations", "aws_update_login_profile"}
TRAIL_FILES = ("invictus", "sans504")  # the corpora that are trail files as they are
CATEGORIES = {None, "Management", "Data", "NetworkActivity"}
Record = Mapping[str, Any]

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]


def rules(folder: Path) -> Iterator[tuple[str, SigmaCollection]]:
    for path in sorted(folder.glob("*.yml")):
        text = path.read_text("utf-8")
        if "\ndetection:" in text and path.stem not in UNASKED:
            yield path.stem, SigmaCollection.from_yaml(text)


def records(folder: Path) -> dict[str, Record]:
    """Return the distinct records of trail files by identity."""
    found: dict[str, Record] = {}
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        data = path.read_bytes()
        try:
            text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
            content = json.loads(text)
        except (ValueError, OSError, EOFError):
            continue
        if not isinstance(content, dict):
            continue
        layout = re.search(r"AWSLogs/(?:o-[a-z0-9]+/)?(\d{12})/CloudTrail", path.as_posix())
        for record in content.get("Records", ()):
            if "eventName" not in record or "eventSource" not in record:
                continue
            account = layout[1] if layout else record.get("recipientAccountId")
            account = account or record.get("userIdentity", {}).get("accountId")
            found.setdefault(f"{account}/{record.get('eventID')}", record)
    return found


# The oracle.


def holds(node: Any, record: Record) -> bool:
    match node:
        case ConditionAND():
            return all(holds(each, record) for each in node.args)
        case ConditionOR():
            return any(holds(each, record) for each in node.args)
        case ConditionNOT():
            return not holds(node.args[0], record)
        case ConditionFieldEqualsValueExpression():
            return equals(node.field, node.value, list(values(record, node.field.split("."))))
        case _:
            raise NotImplementedError(type(node).__name__)


def values(at: Any, path: list[str]) -> Iterator[str]:
    if isinstance(at, list):
        for each in at:
            yield from values(each, path)
    elif path:
        if isinstance(at, dict) and path[0] in at:
            yield from values(at[path[0]], path[1:])
    elif isinstance(at, dict):
        for each in at.values():
            yield from values(each, [])
    elif isinstance(at, bool):
        yield str(at).lower()
    elif at is not None:
        yield str(at)


def equals(field: str, value: Any, found: list[str]) -> bool:
    match value:
        case SigmaNull():
            return not found
        case SigmaExists():
            return bool(found) == value.exists
        case SigmaBool():
            return str(value.boolean).lower() in found
        case SigmaNumber():
            return str(value.number) in found
        case SigmaRegularExpression():
            return any(re.fullmatch(str(value.regexp), each) for each in found)
        case SigmaString() if field in TEXT_FIELDS:
            return any(says(each, value) for each in found)
        case SigmaString():
            return any(re.fullmatch(pattern(value), each, re.DOTALL) for each in found)
        case _:
            raise NotImplementedError(type(value).__name__)


def pattern(value: SigmaString) -> str:
    parts: dict[Any, str] = {
        SpecialChars.WILDCARD_MULTI: ".*",
        SpecialChars.WILDCARD_SINGLE: ".",
    }
    return "".join(re.escape(each) if isinstance(each, str) else parts[each] for each in value.s)


def says(text: str, value: SigmaString) -> bool:
    """Whether the words of a value follow each other in a text; a wildcard is within one word."""
    words = re.findall(r"\w+", text.lower())
    if any(not isinstance(each, str) for each in value.s):
        return any(re.fullmatch(pattern(value).lower(), word) for word in words)
    wanted = re.findall(r"\w+", str(value).lower())
    return any(words[at : at + len(wanted)] == wanted for at in range(len(words) - len(wanted) + 1))


# The comparison.


def identity_of(hit: Mapping[str, Any]) -> str:
    identity: str = hit["_id"]
    return identity


def place_of(hit: Mapping[str, Any]) -> str:
    delivery = hit["_source"]["opstrail"]["delivery"]
    return f"{delivery['key']} {delivery['recordIndex']}"


Named = Callable[[Mapping[str, Any]], str]


def hits(own: Installed, query: str, named: Named) -> set[str]:
    body = {
        "query": {"query_string": {"query": query, "analyze_wildcard": True}},
        "_source": ["opstrail.delivery.key", "opstrail.delivery.recordIndex"],
        "size": 10_000,
    }
    found = own.opensearch.search(index=f"{own.name}-events", body=body)["hits"]
    assert found["total"]["value"] < 10_000
    return {named(hit) for hit in found["hits"]}


def compared(
    own: Installed,
    folder: Path,
    known: Mapping[str, Record],
    named: Named = identity_of,
    besides: AbstractSet[str] = frozenset(),
) -> dict[str, set[str]]:
    """Return which records each rule finds; both ways must find the same, but for `besides`."""
    own.opensearch.indices.refresh(index=f"{own.name}-events")
    found = {}
    for name, collection in rules(folder):
        (query,) = OpensearchLuceneBackend().convert(collection)
        (rule,) = collection.rules
        parsed = [each.parsed for each in rule.detection.parsed_condition]  # type: ignore[union-attr]
        expected = {i for i, record in known.items() if any(holds(p, record) for p in parsed)}
        assert expected - besides == hits(own, str(query), named) - besides, f"{name}: {query}"
        found[name] = expected - besides
    return found


@pytest.mark.parametrize("name", TRAIL_FILES)
@pytest.mark.corpora
@corpora[1]
def test_rules_find_in_the_store_what_they_find_in_the_files(
    servers: Servers, tmp_path: Path, figure: Figure, name: str
) -> None:
    known = records(CORPORA / name)
    with installed(servers, tmp_path, **FEW_PARTITIONS) as own:
        ended = own.run(CORPORA / name)
        assert len(known) == ended.result["stored"]
        found = compared(own, CORPORA / "sigma", known)

    figure(
        f"{name}: rules that find, records",
        f"{sum(map(bool, found.values()))} of {len(found)}, {sum(map(len, found.values()))}",
        "as in the files",
    )
    assert 50 < len(found)
    assert any(found.values())


@pytest.mark.corpora
@corpora[1]
def test_rules_find_the_records_of_the_other_corpora_once_they_are_in_trail_files(
    servers: Servers, tmp_path: Path, figure: Figure
) -> None:
    """Samples, tests and guides of others: in wrappers, outputs and JSON within text."""
    known: dict[str, Record] = {}
    trails = tmp_path / "trails"
    trails.mkdir()
    identities: set[tuple[str, str]] = set()
    for folder in sorted(filter(Path.is_dir, CORPORA.iterdir())):
        if folder.name not in {"sigma", *TRAIL_FILES}:
            some = list(first_of_each(records_below(folder), identities))
            name = f"{folder.name}.json"
            (trails / name).write_text(json.dumps({"Records": some}), "utf-8")
            known |= {f"{name} {at}": record for at, record in enumerate(some)}
    with installed(servers, tmp_path, **FEW_PARTITIONS) as own:
        ended = own.run(trails)
        assert (len(known), 0) == (ended.result["stored"], ended.result["deadLetters"])
        # Of what OpenSearch refuses as it is (a text for an object, no date) only typed fields
        # can be searched: no rule is promised to find it.
        reduced = {place_of(hit) for hit in own.hits() if "reduced" in hit["_source"]["opstrail"]}
        found = compared(own, CORPORA / "sigma", known, place_of, besides=reduced)

    figure(
        "records of other corpora", f"{len(known):,}, {len(reduced)} in reduced form", "none set"
    )
    for name in sorted({place.split(".")[0] for place in known}):
        of_it = [sum(place.startswith(f"{name}.") for place in places) for places in found.values()]
        figure(
            f"{name}: rules that find, records",
            f"{sum(map(bool, of_it))} of {len(found)}, {sum(of_it)}",
            "as in the files",
        )
    assert 13 < len({place.split(".")[0] for place in known})
    assert 10 < sum(map(bool, found.values()))
    assert 10 > len(reduced)


def first_of_each(
    records: Iterable[dict[str, Any]], seen: set[tuple[str, str]]
) -> Iterator[dict[str, Any]]:
    """Leave out notifications of S3, unknown categories, and identities that were there.

    Sample ids are used again for other contents: of two, one would be a conflict.
    """
    for record in records:
        caller = record.get("userIdentity") or {}
        issuer = (caller.get("sessionContext") or {}).get("sessionIssuer") or {}
        named = record.get("recipientAccountId"), caller.get("accountId"), issuer.get("accountId")
        event = record.get("eventID") or json.dumps(record, sort_keys=True)
        identity = str(next(filter(None, named), "-")), str(event)
        is_event = record["eventName"] and record["eventSource"] != "aws:s3"
        if is_event and record.get("eventCategory") in CATEGORIES and identity not in seen:
            seen.add(identity)
            yield record


def test_our_own_rules_find_what_happened_to_stacks(
    servers: Servers, tmp_path: Path, figure: Figure
) -> None:
    trails, _ = write(archive(), tmp_path / "sample")
    with installed(servers, tmp_path, **FEW_PARTITIONS) as own:
        assert own.run(trails).code in {0, 3}
        compared_ = compared(own, OWN, records(trails))
    found = {name: len(identities) for name, identities in compared_.items()}

    figure("our own rules, records", found, "each finds some")
    assert 4 == len(found)


def test_rules_that_cannot_be_asked_are_known_by_name() -> None:
    if not CORPORA.is_dir():
        pytest.skip("not run: SHARED names no folder of corpora")
    refused = set()
    for path in sorted((CORPORA / "sigma").glob("*.yml")):
        try:
            collection = SigmaCollection.from_yaml(path.read_text("utf-8"))
            OpensearchLuceneBackend().convert(collection)
        except SigmaError:
            refused.add(path.stem)

    assert UNASKED == refused
