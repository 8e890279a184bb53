"""The checker: compares what became of files with what must have, and says all that differs.

One program for all tiers: the model in memory, the faults of `make faults`, the long runs. The
letters I1 to I10 are those of docs/reliability.md.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tests.support.checker.expected import Expected, Fault, Place
from tests.support.checker.observed import EnrichedSeen, Observed

MASK = "***masked by opstrail***"
LONGEST_RESUME_S = 30.0
_SHOWN = 5


def findings(
    expected: Expected, seen: Observed, *, longest_resume_s: float = LONGEST_RESUME_S
) -> list[str]:
    """Return what is wrong, each with its invariant; nothing for a run that kept its promise."""
    return [
        *_stored(expected, seen),
        *_contents(expected, seen),
        *_dead_letters(expected, seen),
        *_topics(expected, seen),
        *_ledger(expected, seen),
        *(f"I7 hung: {name} ends in an open transaction" for name in seen.open_partitions),
        *(f"I8 behind: {name} by {n}" for name, n in seen.behind.items() if n),
        *(f"I8 slow: {s:.1f} s to resume" for s in seen.resumed_s if s > longest_resume_s),
        *_restarts(seen),
        *_secrets(expected, seen),
    ]


def _stored(expected: Expected, seen: Observed) -> Iterator[str]:
    ids = Counter(each.id for each in seen.stored)
    yield from _told("I1 lost: not stored", expected.events.keys() - ids.keys())
    yield from _told("I1 too much: stored, but in no file", ids.keys() - expected.events.keys())
    yield from _told("I1 doubled: stored twice", (id_ for id_, n in ids.items() if n > 1))


def _contents(expected: Expected, seen: Observed) -> Iterator[str]:
    versions: dict[str, int] = {}
    for message in (*seen.enriched, *seen.repaired):
        versions[message.key] = max(versions.get(message.key, 0), message.version)
    for document in seen.stored:
        event = expected.events.get(document.id)
        if event is None:
            continue
        ours = document.source.get("opstrail", {})
        text = ours.get("rawText")
        found = json.loads(text) if text else _without(document.source, "opstrail")
        if not any(_same(json.loads(copy), found) for copy in event.texts.values()):
            yield f"I2 changed: {document.id} is stored with other content"
        if not document.in_index.endswith(event.period):
            yield f"I2 misplaced: {document.id} of {event.period} is in {document.in_index}"
        delivery = ours.get("delivery", {})
        if Place(delivery.get("key", ""), delivery.get("recordIndex", -1)) not in event.texts:
            yield f"I2 origin: {document.id} names a place where it is not"
        if document.version != versions.get(document.id):
            newest = versions.get(document.id)
            yield f"I2 stale: {document.id} has version {document.version}, sent was {newest}"


def _dead_letters(expected: Expected, seen: Observed) -> Iterator[str]:
    found: Counter[Fault] = Counter()
    others = []
    for key, letter in seen.letters.items():
        if letter["stage"] == "split" and letter.get("key") is not None:
            start, end = letter.get("startByte"), letter.get("endByte")
            found[Fault(letter["key"], letter["reason"], start, end)] += 1
        else:
            others.append(f"{key} ({letter['reason']})")
    yield from _told("I3 missing: no dead letter for", expected.faults - found.keys())
    yield from _told("I3 too much: dead letter for", found.keys() - expected.faults)
    yield from _told("I3 doubled: dead letters for", (f for f, n in found.items() if n > 1))
    yield from _told("I3 too much: dead letter", others)
    if seen.indexed_letters != frozenset(seen.letters):
        apart = seen.indexed_letters ^ frozenset(seen.letters)
        yield from _told("I3 index: shown otherwise than on the topic", apart)


def _topics(expected: Expected, seen: Observed) -> Iterator[str]:
    places = expected.places
    raw = Counter(message.place for message in seen.raw)
    yield from _told("I5 lost: not on events.raw", places.keys() - raw.keys())
    yield from _told("I5 too much: on events.raw", raw.keys() - places.keys())
    yield from _told(
        "I5 doubled: on events.raw",
        (place for place, n in raw.items() if n > expected.copies.get(place.file, 1)),
    )
    for message in seen.raw:
        id_ = places.get(message.place)
        if id_ is None:
            continue
        if message.key != id_:
            yield f"I5 key: {message.place} has the key {message.key}, not {id_}"
        if not _same_text(expected.events[id_].texts[message.place], message.text):
            yield f"I2 changed: {message.place} has another text on events.raw"
    enriched = Counter(message.key for message in seen.enriched)
    yield from _told("I5 lost: not on events.enriched", expected.events.keys() - enriched.keys())
    yield from _told("I5 too much: on events.enriched", enriched.keys() - expected.events.keys())
    yield from _told("I5 doubled: on events.enriched", (k for k, n in enriched.items() if n > 1))
    yield from _told("I2 changed: on events.enriched", _changed(expected, seen.enriched))
    yield from _told("I2 changed: on events.repaired", _changed(expected, seen.repaired))


def _changed(expected: Expected, messages: Iterable[EnrichedSeen]) -> Iterator[str]:
    for message in messages:
        event = expected.events.get(message.key)
        text = None if event is None else event.texts.get(message.place)
        if event is not None and (text is None or not _same_text(text, message.text)):
            yield f"{message.key} of {message.place}"


def _ledger(expected: Expected, seen: Observed) -> Iterator[str]:
    yield from _told("I6 unknown: no row for", expected.files.keys() - seen.files.keys())
    yield from _told("I6 too much: a row for", seen.files.keys() - expected.files.keys())
    for key, wanted in expected.files.items():
        for where, rows in (("ledger", seen.files), ("index of files", seen.indexed_files)):
            row = rows.get(key)
            if row is None:
                if where != "ledger":
                    yield f"I6 index: {key} is not in the {where}"
                continue
            counts = row.get("state"), row.get("records", 0), row.get("deadLetters", 0)
            if counts != tuple(wanted):
                yield f"I6 untrue: the {where} says {counts} of {key}, it is {tuple(wanted)}"


def _restarts(seen: Observed) -> Iterator[str]:
    if seen.restarts != seen.kills:
        yield f"I9 restarts: {seen.restarts}, and {seen.kills} kills"


def _secrets(expected: Expected, seen: Observed) -> Iterator[str]:
    texts = [message.text for message in seen.raw]
    texts += [message.text for message in (*seen.enriched, *seen.repaired)]
    texts += [json.dumps(document.source).encode() for document in seen.stored]
    texts += [json.dumps(letter, default=str).encode() for letter in seen.letters.values()]
    texts += seen.texts
    all_of_it = b"\n".join(texts)
    yield from _told("I10 secret", (s.decode() for s in expected.secrets if s in all_of_it))


def _without(source: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in source.items() if name != key}


def _same_text(wanted: bytes, found: bytes) -> bool:
    """Byte for byte; where something is masked, as JSON."""
    if MASK.encode() not in found:
        return wanted == found
    return _same(json.loads(wanted), json.loads(found))


def _same(wanted: Any, found: Any) -> bool:
    """Equal, but for masked values: a mark stands for anything that holds a planted secret."""
    if found == MASK:
        return "PLANTED-SECRET" in json.dumps(wanted)
    if isinstance(wanted, dict) and isinstance(found, dict):
        return wanted.keys() == found.keys() and all(
            _same(value, found[key]) for key, value in wanted.items()
        )
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(map(_same, wanted, found))
    if isinstance(wanted, str) and isinstance(found, str) and MASK in found:
        return "PLANTED-SECRET" in wanted
    return type(wanted) is type(found) and bool(wanted == found)


def _told(what: str, things: Iterable[object]) -> Iterator[str]:
    listed = sorted(map(str, things))
    if listed:
        more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
        yield f"{what}: {', '.join(listed[:_SHOWN])}{more} ({len(listed)})"
