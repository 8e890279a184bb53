"""The tour tells every difference between the store and the sample."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rich.console import Console

from opstrail_cli.demo_report import Found, StackEvent, differences, report
from opstrail_cli.sample.archive import archive
from opstrail_cli.sample.expectation import expected

WANTED = expected(archive())
RESULT = {
    "files": WANTED.files,
    "records": WANTED.records,
    "stored": len(WANTED.identities),
    "alreadyThere": WANTED.repeats,
    "deadLetters": len(WANTED.dead_letters),
    "deferred": len(WANTED.deferred),
    "expired": 0,
    "pendingRetries": 0,
    "seconds": 4.2,
}
FOUND = Found(
    identities=WANTED.identities,
    dead_letters=[
        {"key": key, "reason": reason, "message": "broken", "startByte": 1, "endByte": 9}
        for key, reason in WANTED.dead_letters
    ],
    by_caller_kind=WANTED.by_caller_kind,
    by_credential_kind=WANTED.by_credential_kind,
    by_account_name=WANTED.by_account_name,
    by_stack_id=WANTED.naming_stack,
    top_callers=[("deploy", "assumedRole", 1_000)],
    stack_calls=[("shop-prod", "CreateDeployment", 26)],
    stack_events=[
        StackEvent(identity, "2022-01-01T00:00:00Z", "StopInstance", *stack, "instance", False)
        for identity, stack in WANTED.stacks.items()
    ],
)


def test_a_store_that_holds_the_sample_differs_in_nothing() -> None:
    assert [] == list(differences(3, RESULT, FOUND, WANTED))


def test_a_missing_event_is_told() -> None:
    lost = next(iter(WANTED.identities))
    found = replace(FOUND, identities=WANTED.identities - {lost})

    assert [f"1 events are missing, such as {lost}"] == list(differences(3, RESULT, found, WANTED))


def test_an_event_that_is_not_in_the_sample_is_told() -> None:
    found = replace(FOUND, identities=WANTED.identities | {"1/2"})

    assert ["1 events are in the store and not in the sample: 1/2"] == list(
        differences(3, RESULT, found, WANTED)
    )


def test_a_dead_letter_with_another_reason_is_told_twice() -> None:
    other: list[Mapping[str, Any]] = [
        {**each, "reason": "cut-short"} for each in FOUND.dead_letters
    ]

    assert 2 == len(list(differences(3, RESULT, replace(FOUND, dead_letters=other), WANTED)))


def test_figures_and_the_exit_code_are_compared() -> None:
    told = list(differences(0, {**RESULT, "alreadyThere": 0}, FOUND, WANTED))

    assert [
        f"run says alreadyThere 0, the sample has {WANTED.repeats}",
        "run ended with 0, not 3 (dead letters are left)",
    ] == told


def test_wrong_callers_and_stacks_are_told() -> None:
    stack, least = next(iter(WANTED.naming_stack.items()))
    found = replace(
        FOUND,
        by_caller_kind={**WANTED.by_caller_kind, "root": 0},
        by_stack_id={**WANTED.naming_stack, stack: least - 1},
    )

    assert [
        f"0 events of caller kind 'root', not {WANTED.by_caller_kind['root']}",
        f"{least - 1} calls of stack {stack}, not {least} or more",
    ] == list(differences(3, RESULT, found, WANTED))


def test_the_report_shows_figures_callers_stacks_and_a_dead_letter_in_full() -> None:
    console = Console(width=110, record=True, file=None)
    with console.capture() as shown:
        console.print(report(RESULT, FOUND))

    words = ("Top callers", "deploy", "1,000", "shop-prod", "not-json", '"message": "broken"')
    assert [] == [word for word in words if word not in shown.get()]


def test_a_stack_with_the_name_of_another_time_is_told() -> None:
    first = FOUND.stack_events[0]
    found = replace(FOUND, stack_events=[replace(first, stack_name="x"), *FOUND.stack_events[1:]])

    [told] = differences(3, RESULT, found, WANTED)
    stack = f"not {first.stack_id} '{first.stack_name}'"
    assert told == f"{first.identity} has stack ('{first.stack_id}', 'x'), {stack}"
