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
_OF_A_LETTER = ("stage", "reason", "key", "startByte", "endByte", "sha256", "text", "tries")


def findings(
    expected: Expected, seen: Observed, *, longest_resume_s: float = LONGEST_RESUME_S
) -> list[str]:
    """Return what is wrong, each with its invariant; nothing for a run that kept its promise."""
    return [
        *_blind(expected),
        *_stored(expected, seen),
        *_contents(expected, seen),
        *_dead_letters(expected, seen),
        *_topics(expected, seen),
        *_ledger(expected, seen),
        *(f"I7 hung: {name} ends in an open transaction" for name in seen.open_partitions),
        *(f"I8 behind: {name} by {n}" for name, n in seen.behind.items() if n),
        *(f"I8 slow: {s:.1f} s to resume" for s in seen.resumed_s if s > longest_resume_s),
        *_restarts(seen),
        *_facts(expected, seen),
        *(f"I10 secret: {min(found)!r} in {at}" for at, found in seen.leaks.items() if found),
    ]


def _blind(expected: Expected) -> Iterator[str]:
    """Nothing is missed where nothing is expected: such a run shows nothing."""
    for name in ("events", "faults", "files", "secrets", "stacks"):
        if not getattr(expected, name):
            yield f"I0 blind: the files hold no {name}"


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


def fault_of(letter: Mapping[str, Any]) -> Fault | None:
    """Return what a dead letter of split is about; None for another one."""
    if letter["stage"] != "split" or letter.get("key") is None:
        return None
    start, end = letter.get("startByte"), letter.get("endByte")
    digest = None if start is None else letter.get("sha256")
    return Fault(letter["key"], letter["reason"], start, end, digest)


def _dead_letters(expected: Expected, seen: Observed) -> Iterator[str]:
    found: Counter[Fault] = Counter()
    others = []
    for key, letter in seen.letters.items():
        if (fault := fault_of(letter)) is not None:
            found[fault] += 1
        else:
            others.append(f"{key} ({letter['reason']})")
    yield from _told("I3 missing: no dead letter for", expected.faults - found.keys())
    yield from _told("I3 too much: dead letter for", found.keys() - expected.faults)
    yield from _told("I3 doubled: dead letters for", (f for f, n in found.items() if n > 1))
    yield from _told("I3 too much: dead letter", others)
    shown = Counter(each["letterKey"] for each in seen.indexed_letters)
    yield from _told("I3 index: not as on the topic", shown.keys() ^ seen.letters.keys())
    yield from _told("I3 index: shown twice", (key for key, n in shown.items() if n > 1))
    for each in seen.indexed_letters:
        letter = seen.letters.get(each["letterKey"], each)
        if any(letter.get(name) != each.get(name) for name in _OF_A_LETTER):
            yield f"I3 index: {each['letterKey']} is shown otherwise than on the topic"


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
    repaired = Counter((message.key, message.version) for message in seen.repaired)
    strange = {key for key, _ in repaired} - expected.events.keys()
    yield from _told("I5 too much: on events.repaired", strange)
    yield from _told("I5 doubled: on events.repaired", (k for k, n in repaired.items() if n > 1))
    if seen.reread:
        yield f"I5 too much: {seen.reread} on events.reread, and nobody asked for a replay"
    yield from _told("I2 changed: on events.enriched", _changed(expected, seen.enriched))
    yield from _told("I2 changed: on events.repaired", _changed(expected, seen.repaired))


def _changed(expected: Expected, messages: Iterable[EnrichedSeen]) -> Iterator[str]:
    for message in messages:
        event = expected.events.get(message.key)
        text = None if event is None else event.texts.get(message.place)
        if event is not None and (text is None or not _same_text(text, message.text)):
            yield f"{message.key} of {message.place}"


def _ledger(expected: Expected, seen: Observed) -> Iterator[str]:
    for where, rows in (("ledger", seen.files), ("index of files", seen.indexed_files)):
        found = Counter(row["key"] for row in rows)
        yield from _told(f"I6 unknown to the {where}:", expected.files.keys() - found.keys())
        yield from _told(f"I6 too much in the {where}:", found.keys() - expected.files.keys())
        yield from _told(f"I6 doubled in the {where}:", (k for k, n in found.items() if n > 1))
        for row in rows:
            counts = row.get("state"), row.get("records", 0), row.get("deadLetters", 0)
            wanted = expected.files.get(row["key"])
            if wanted is not None and counts != tuple(wanted):
                yield f"I6 untrue: the {where} says {counts} of {row['key']}, it is {tuple(wanted)}"


def _restarts(seen: Observed) -> Iterator[str]:
    if seen.restarts != seen.kills:
        yield f"I9 restarts: {seen.restarts}, and {seen.kills} kills"


def _facts(expected: Expected, seen: Observed) -> Iterator[str]:
    yield from _told("I11 lost: no fact of", expected.stacks - set(seen.stacks))
    yield from _told("I11 too much: a fact of", set(seen.stacks) - expected.stacks)


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
