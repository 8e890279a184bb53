"""Dead letters and files as collections: what one can ask of them (PURE)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from opstrail_history.query import Query

CollectionName = Literal["deadLetters", "files"]


@dataclass(frozen=True, slots=True)
class Collection:
    """One question about one collection, newest first."""

    name: CollectionName
    query: Query
    sort: Sequence[Query]


def dead_letters(
    *, stage: str | None, reason: str | None, bucket: str | None, key: str | None,
    account: str | None, waiting: bool | None,
) -> Collection:  # fmt: skip
    """Return a question about dead letters; `waiting`: will be tried again by themselves."""
    terms = {"stage": stage, "reason": reason, "bucket": bucket, "key": key, "accountId": account}
    query = _terms(terms)
    if waiting is not None:
        exists = {"exists": {"field": "retryAt"}}
        query["bool"]["filter" if waiting else "must_not"].append(exists)
    order = [_newest("failedAt"), {"letterKey": {"order": "asc", "missing": "_last"}}]
    return Collection("deadLetters", query, order)


def files(
    *, state: str | None, bucket: str | None, key: str | None, account: str | None,
    region: str | None,
) -> Collection:  # fmt: skip
    """Return a question about files."""
    terms = {
        "state": state, "bucket": bucket, "key": key, "accountId": account, "awsRegion": region,
    }  # fmt: skip
    order = [_newest("updatedAt"), {"bucket": {"order": "asc"}}, {"key": {"order": "asc"}}]
    return Collection("files", _terms(terms), order)


def _terms(terms: Mapping[str, str | None]) -> dict[str, Any]:
    filters = [{"term": {name: value}} for name, value in terms.items() if value is not None]
    return {"bool": {"filter": filters or [{"match_all": {}}], "must_not": []}}


def _newest(field: str) -> Query:
    return {field: {"order": "desc", "missing": "_last"}}
