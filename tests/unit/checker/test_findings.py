"""The checker sees each thing that may differ: a clean run, with one thing made wrong in it."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from tests.support.checker.corpus import corpus
from tests.support.checker.expected import Expected, Place, Stack
from tests.support.checker.findings import findings
from tests.support.checker.observed import Observed
from tests.support.checker.simulation import Simulation

FILES = corpus(11, files=6, events=300)
Wrong = Callable[[Observed], dict[str, Any]]


@pytest.fixture(scope="module")
def clean() -> tuple[Expected, Observed]:
    simulation = Simulation(FILES)
    simulation.notify()
    return simulation.expected(), simulation.run(rounds=60)


def _first(rows: Any, change: Callable[[Any], Any]) -> list[Any]:
    copied = [deepcopy(row) for row in rows]
    return [change(copied[0]), *copied[1:]]


def _with(**more: Any) -> Callable[[Any], Any]:
    return lambda row: {**row, **more}


def _letters(seen: Observed, **more: Any) -> dict[str, Any]:
    """Change one letter about a fragment, on the topic and in the index alike."""
    key = next(k for k, letter in seen.letters.items() if letter.get("startByte") is not None)
    return {
        "letters": {**seen.letters, key: {**seen.letters[key], **more}},
        "indexed_letters": [
            {**each, **more} if each["letterKey"] == key else each for each in seen.indexed_letters
        ],
    }


def _unmasked(message: Any) -> Any:
    return message._replace(text=message.text.replace(b'"ada"', b'"eve"'))


WRONG: Mapping[str, tuple[str, Wrong]] = {
    "a document is missing": ("I1 lost", lambda s: {"stored": s.stored[1:]}),
    "a document is there twice": ("I1 doubled", lambda s: {"stored": [*s.stored, s.stored[0]]}),
    "a document of no file": (
        "I1 too much",
        lambda s: {"stored": [*s.stored, s.stored[0]._replace(id="x/y")]},
    ),
    "a document says something else": (
        "I2 changed",
        lambda s: {
            "stored": _first(s.stored, lambda d: d._replace(source=d.source | {"awsRegion": "x"}))
        },
    ),
    "a document is in another month": (
        "I2 misplaced",
        lambda s: {"stored": _first(s.stored, lambda d: d._replace(in_index="e-2023.01"))},
    ),
    "a document names another place": (
        "I2 origin",
        lambda s: {
            "stored": _first(
                s.stored,
                lambda d: d._replace(
                    source=d.source
                    | {"opstrail": d.source["opstrail"] | {"delivery": {"key": "no", "n": 1}}}
                ),
            )
        },
    ),
    "a document is of an older version": (
        "I2 stale",
        lambda s: {"stored": _first(s.stored, lambda d: d._replace(version=d.version - 1))},
    ),
    "a text is changed on events.raw": (
        "I2 changed",
        lambda s: {"raw": _first(s.raw, _unmasked)},
    ),
    "a text is changed on events.enriched": (
        "I2 changed",
        lambda s: {"enriched": _first(s.enriched, _unmasked)},
    ),
    "a dead letter is missing": (
        "I3 missing",
        lambda s: {"letters": dict(list(s.letters.items())[1:])},
    ),
    "a dead letter of a passing fault": (
        "I3 too much",
        lambda s: {"letters": {**s.letters, "x": {"stage": "store", "reason": "refused"}}},
    ),
    "a dead letter begins elsewhere": ("I3 missing", lambda s: _letters(s, startByte=1)),
    "a dead letter has another reason": ("I3 missing", lambda s: _letters(s, reason="too-deep")),
    "a dead letter is of other bytes": ("I3 missing", lambda s: _letters(s, sha256="00")),
    "a dead letter under two keys": (
        "I3 doubled",
        lambda s: {"letters": {**s.letters, "again": next(iter(s.letters.values()))}},
    ),
    "a dead letter is not shown": (
        "I3 index",
        lambda s: {"indexed_letters": s.indexed_letters[1:]},
    ),
    "a dead letter is shown twice": (
        "I3 index: shown twice",
        lambda s: {"indexed_letters": [*s.indexed_letters, s.indexed_letters[0]]},
    ),
    "a dead letter is shown otherwise": (
        "I3 index",
        lambda s: {"indexed_letters": _first(s.indexed_letters, _with(reason="else"))},
    ),
    "a record is missing on events.raw": ("I5 lost", lambda s: {"raw": s.raw[1:]}),
    "a record is twice on events.raw": ("I5 doubled", lambda s: {"raw": [*s.raw, s.raw[0]]}),
    "a record of no file is on events.raw": (
        "I5 too much",
        lambda s: {"raw": [*s.raw, s.raw[0]._replace(place=Place("no", 1))]},
    ),
    "a record has another key": (
        "I5 key",
        lambda s: {"raw": _first(s.raw, lambda m: m._replace(key="1/2"))},
    ),
    "an event is missing on events.enriched": ("I5 lost", lambda s: {"enriched": s.enriched[1:]}),
    "an event is twice on events.enriched": (
        "I5 doubled",
        lambda s: {"enriched": [*s.enriched, s.enriched[0]]},
    ),
    "an event of no file is on events.repaired": (
        "I5 too much: on events.repaired",
        lambda s: {"repaired": [s.enriched[0]._replace(key="1/2")]},
    ),
    "an event is twice on events.repaired": (
        "I5 doubled: on events.repaired",
        lambda s: {"repaired": [s.enriched[0], s.enriched[0]]},
    ),
    "a replay that nobody asked for": ("I5 too much", lambda s: {"reread": 1}),
    "a file is not in the ledger": ("I6 unknown to the ledger", lambda s: {"files": s.files[1:]}),
    "a file is not in the index": (
        "I6 unknown to the index",
        lambda s: {"indexed_files": s.indexed_files[1:]},
    ),
    "a file is in the ledger twice": (
        "I6 doubled",
        lambda s: {"files": [*s.files, s.files[0]]},
    ),
    "a file that nobody sent": (
        "I6 too much",
        lambda s: {"files": [*s.files, {**s.files[0], "key": "no"}]},
    ),
    "the ledger counts wrong": (
        "I6 untrue",
        lambda s: {"files": _first(s.files, _with(records=100_000))},
    ),
    "a file is not at its end": (
        "I6 untrue",
        lambda s: {"indexed_files": _first(s.indexed_files, _with(state="splitting"))},
    ),
    "a transaction is left open": ("I7", lambda _: {"open_partitions": ["events.raw 0"]}),
    "records are not read": ("I8 behind", lambda _: {"behind": {"store": 1}}),
    "it takes long to come back": ("I8 slow", lambda _: {"resumed_s": [100.0]}),
    "a process ended by itself": ("I9", lambda s: {"restarts": s.restarts + 1}),
    "a process was not started again": ("I9", lambda s: {"kills": s.kills + 1}),
    "a secret is in the logs": (
        "I10 secret",
        lambda _: {"leaks": {"the logs": frozenset([b"PLANTED-SECRET-1"])}},
    ),
    "a fact is lost": ("I11 lost", lambda s: {"stacks": s.stacks[1:]}),
    "a fact of nothing": ("I11 too much", lambda s: {"stacks": [*s.stacks, Stack("1", "2", "3")]}),
}


def test_a_clean_run_is_clean(clean: tuple[Expected, Observed]) -> None:
    assert [] == findings(*clean)


@pytest.mark.parametrize("what", WRONG)
def test_one_thing_that_is_wrong_is_found(clean: tuple[Expected, Observed], what: str) -> None:
    expected, seen = clean
    wanted, wrong = WRONG[what]

    found = findings(expected, replace(seen, **wrong(seen)))

    assert any(each.startswith(wanted) for each in found), found


def test_a_run_of_nothing_is_not_a_clean_one() -> None:
    found = findings(Expected(), Observed())

    assert {each.partition(":")[0] for each in found} == {"I0 blind"}


def test_nothing_that_was_expected_is_clean_when_nothing_is_seen(
    clean: tuple[Expected, Observed],
) -> None:
    found = findings(clean[0], Observed())

    assert {each.partition(" ")[0] for each in found} >= {"I1", "I3", "I5", "I6", "I11"}
