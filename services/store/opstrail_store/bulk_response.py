"""What OpenSearch's answers mean: a verdict for every document and for whole requests (PURE)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_CREATED_OR_UPDATED = range(200, 300)
# What a look-up answers for an index that holds nothing.
NOTHING_THERE = frozenset({"index_not_found_exception", "index_closed_exception"})
# "this action would add [2] total shards, but this cluster currently has [1000]/[1000] maximum
# shards open" (OpenSearch #2824), also "maximum normal shards open": no fault of the document.
_SHARDS_LIMIT = re.compile(r"maximum (\w+ )?shards open")


@dataclass(frozen=True, slots=True)
class Stored:
    """It is in the index now."""


@dataclass(frozen=True, slots=True)
class AlreadyThere:
    """The index holds this version or a newer one."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Not now: the same again later. `doubtful`: it may have been applied all the same."""

    why: str
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Reject:
    """This document will never be taken as it is."""

    why: str


@dataclass(frozen=True, slots=True)
class Stop:
    """We are refused: a human must act, and nothing may be committed."""

    why: str


@dataclass(frozen=True, slots=True)
class Bisect:
    """Something in the request spoils all of it, or it is too large: send halves."""

    why: str


ItemVerdict = Stored | AlreadyThere | Retry | Reject | Stop
RequestVerdict = Bisect | Retry | Stop


def item_verdicts(response: Mapping[str, Any], expected: int) -> list[ItemVerdict]:
    """Return a verdict per document, in order, of an answer with status 200."""
    items = response.get("items")
    if not isinstance(items, list) or len(items) != expected:
        return [Retry("an answer that is not one to our bulk request", doubtful=True)] * expected
    return [_item_verdict(*next(iter(item.items()))) for item in items]


def _item_verdict(action: str, item: Mapping[str, Any]) -> ItemVerdict:
    status = int(item.get("status", 0))
    if status in _CREATED_OR_UPDATED:
        return Stored()
    if status == 409:  # noqa: PLR2004 - version conflict
        return AlreadyThere()
    if status == 404 and action == "delete" and "error" not in item:  # noqa: PLR2004
        return Stored()
    error = item.get("error") or {}
    kind, why = str(error.get("type", "")), _reason(status, error)
    match status:
        case _ if kind == "cluster_block_exception":
            # 403 or 429 with block /12 (the disk is full) clears itself; other blocks somebody
            # set and will lift.
            return Retry(why)
        case 400 if _SHARDS_LIMIT.search(why):
            return Retry(why)
        case 400 if kind == "index_closed_exception":
            # Retention is told by its horizon. An index that was closed otherwise is waited for.
            return Retry(why)
        case 401 | 403:
            return Stop(why)
        case 404:  # no index, and none may be created: `store setup` was not run
            return Stop(why)
        case 408 | 429:
            return Retry(why)
        case _ if status >= 500 or status == 0:  # noqa: PLR2004
            return Retry(why, doubtful=True)
        case _:
            return Reject(why)


def request_verdict(status: int, info: object) -> RequestVerdict:
    """Return the verdict on a request that got an error status."""
    error = info.get("error") if isinstance(info, Mapping) else None
    kind = str(error.get("type", "")) if isinstance(error, Mapping) else ""
    why = _reason(status, error if isinstance(error, Mapping) else {"reason": str(info)[:300]})
    match status:
        case _ if kind == "cluster_block_exception" or _SHARDS_LIMIT.search(why):
            return Retry(why)
        case 400 | 413:
            return Bisect(why)
        case 408 | 429:
            return Retry(why)
        case _ if status >= 500:  # noqa: PLR2004
            return Retry(why, doubtful=True)
        case _:
            return Stop(why)


def _reason(status: int, error: Mapping[str, Any]) -> str:
    parts = [str(status), str(error.get("type", "")), str(error.get("reason", ""))]
    cause = error.get("caused_by")
    if isinstance(cause, Mapping):
        parts.append(str(cause.get("reason", "")))
    return ": ".join(part for part in parts if part)[:1000]
