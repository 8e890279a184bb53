"""Events of a time that no trail can hold: they date nothing, and are answered as of no time."""

import pytest

from opstrail_enrich.enrichment import Catalogs, enrich
from opstrail_enrich.learning import facts_of
from opstrail_schemas.event_time import is_absurd
from opstrail_schemas.facts import digest_of
from opstrail_schemas.messages import Account
from tests.support.enriching import (
    ACCOUNT,
    INSTANCE,
    STACK,
    T0,
    opsworks_event,
    raw_event,
    stack_defined,
)

OLDEST, NEWEST = 1_383_264_000_000, 2_524_607_999_999  # 2013-11-01, the end of 2049
ABSURD = pytest.mark.parametrize("time", [0, OLDEST - 1, NEWEST + 1, 2**62, -(2**62)])


def test_a_trail_can_hold_events_of_november_2013_to_the_end_of_2049() -> None:
    assert [True, False, False, True] == [
        is_absurd(time) for time in (OLDEST - 1, OLDEST, NEWEST, NEWEST + 1)
    ]


@ABSURD
def test_an_event_of_an_absurd_time_dates_no_fact(time: int) -> None:
    renamed = opsworks_event("UpdateStack", {"stackId": STACK, "name": "x"}, event_time=time)
    named = raw_event(
        eventSource="account.amazonaws.com",
        eventName="PutAccountName",
        requestParameters={"accountName": "x", "accountId": ACCOUNT},
        event_time=time,
    )
    deployed = opsworks_event(
        "CreateDeployment", {"stackId": STACK, "instanceIds": [INSTANCE]}, event_time=time
    )

    assert [[], []] == [list(facts_of(event)) for event in (renamed, named)]
    assert [None] == [fact.valid_from for fact in facts_of(deployed)], "what always holds is learnt"


@ABSURD
def test_an_event_of_an_absurd_time_is_told_what_always_holds(time: int) -> None:
    known = Catalogs()
    for fact in (
        stack_defined(region="eu-west-1"),
        stack_defined(since=OLDEST, name="shop"),
    ):
        known.stacks.facts.add(digest_of(fact), fact)
    account = Account(account_id=ACCOUNT, name="prod", valid_from=OLDEST, source="file")
    known.accounts.facts.add(digest_of(account), account)
    times = (time, T0)

    found = [
        enrich(opsworks_event("StartStack", {"stackId": STACK}, event_time=at), known)
        for at in times
    ]

    assert [("eu-west-1", None), ("eu-west-1", "shop")] == [
        (one.stack.region, one.stack.name) for one in found if one.stack is not None
    ]
    assert [None, "prod"] == [one.account and one.account.name for one in found]
