"""Who stands behind a session: chains, gaps, cycles, copies in other accounts."""

from itertools import permutations

import pytest

from opstrail_history.lineage import MOST_STEPS, lineage_of


def doc(*, key=None, issued=None, kind="assumedRole", credential="session", shared=None,
        name="AssumeRole", arn=None, account="1"):  # fmt: skip
    ours = {"accountId": account, "eventID": "e", "caller": {"kind": kind, "name": kind,
            "credentialKind": credential}}  # fmt: skip
    if key:
        ours["accessKeyId"] = key
    if issued:
        ours["issuedAccessKeyId"] = issued
    if arn:
        ours["caller"]["arn"] = arn
    found = {"eventName": name, "eventSource": "sts.amazonaws.com", "opstrail": ours}
    if shared:
        found["sharedEventID"] = shared
    return found


class Kept:
    def __init__(self, documents):
        self.documents = documents

    def issuing(self, key):
        return [
            pair for pair in self.documents.items()
            if pair[1]["opstrail"].get("issuedAccessKeyId") == key
        ]  # fmt: skip

    def sharing(self, shared):
        return [pair for pair in self.documents.items() if pair[1].get("sharedEventID") == shared]


THREE_DEEP = {
    "1/act": doc(key="ASIA3", name="StopInstance"),
    "1/third": doc(key="ASIA2", issued="ASIA3"),
    "1/second": doc(key="ASIA1", issued="ASIA2"),
    "1/first": doc(key="AKIA0", issued="ASIA1", kind="iamUser", credential="longTerm"),
}


@pytest.mark.parametrize("order", list(permutations(THREE_DEEP)))
def test_three_roles_deep_in_any_order_of_arrival(order):
    kept = Kept({one: THREE_DEEP[one] for one in order})

    chain = lineage_of("1/act", THREE_DEEP["1/act"], kept)

    assert ["1/act", "1/third", "1/second", "1/first"] == [step.row.id for step in chain.steps]
    assert [None, "ASIA3", "ASIA2", "ASIA1"] == [step.key for step in chain.steps]
    assert ("firstPrincipal", ()) == (chain.end, chain.notes)
    assert "nobody stands behind" in chain.said


ACROSS = {
    "2/act": doc(key="ASIA9", name="StopInstance", account="2"),
    "2/copy": doc(issued="ASIA9", kind="awsAccount", credential="foreignAccount", shared="s",
                  account="2"),
    "1/copy": doc(key="AKIA0", issued="ASIA9", kind="iamUser", credential="longTerm", shared="s"),
}  # fmt: skip


@pytest.mark.parametrize("order", list(permutations(ACROSS)))
def test_across_two_accounts_by_the_shared_id(order):
    chain = lineage_of("2/act", ACROSS["2/act"], Kept({one: ACROSS[one] for one in order}))

    assert ["2/act", "1/copy"] == [step.row.id for step in chain.steps]
    assert ["2/copy"] == [copy.id for copy in chain.steps[1].copies]
    assert ("firstPrincipal", ()) == (chain.end, chain.notes)


def test_without_the_other_account_the_gap_is_said():
    mine = {one: each for one, each in ACROSS.items() if one.startswith("2/")}

    chain = lineage_of("2/act", ACROSS["2/act"], Kept(mine))

    assert "noKey" == chain.end


def test_a_key_that_nobody_issued_is_a_gap():
    chain = lineage_of("1/act", THREE_DEEP["1/act"], Kept({"1/act": THREE_DEEP["1/act"]}))

    assert ("keyNotIssuedHere", 1) == (chain.end, len(chain.steps))


def test_a_chain_that_leads_back_to_itself_ends():
    first = {"1/a": doc(key="ASIA1", issued="ASIA2"), "1/b": doc(key="ASIA2", issued="ASIA1")}
    itself = {"1/a": doc(key="ASIA1", issued="ASIA1")}
    same_key = {"1/a": doc(key="ASIA1", name="X"), "1/b": doc(key="ASIA1", issued="ASIA1")}

    for kept in (first, itself, same_key):
        assert "cycle" == lineage_of("1/a", kept["1/a"], Kept(kept)).end


def test_a_chain_without_end_is_cut():
    kept = {f"1/{at}": doc(key=f"ASIA{at}", issued=f"ASIA{at - 1}") for at in range(50)}

    chain = lineage_of("1/0", kept["1/0"], Kept(kept))

    assert ("tooDeep", MOST_STEPS + 1) == (chain.end, len(chain.steps))


@pytest.mark.parametrize(
    ("used_at", "followed"), [("2024-01-05", "1/b"), ("2024-01-03", "1/a"), ("2023-01-01", "1/a")]
)
def test_of_calls_that_claim_the_same_key_the_last_before_its_use_is_followed(used_at, followed):
    kept = {
        "1/act": doc(key="ASIA1", name="X") | {"eventTime": f"{used_at}T00:00:00Z"},
        "1/a": doc(key="AKIA1", issued="ASIA1") | {"eventTime": "2024-01-02T00:00:00Z"},
        "1/b": doc(key="AKIA2", issued="ASIA1") | {"eventTime": "2024-01-04T00:00:00Z"},
    }

    chain = lineage_of("1/act", kept["1/act"], Kept(kept))

    assert followed == chain.steps[1].row.id
    assert 1 == len(chain.notes)


def test_a_shared_id_of_another_call_joins_nothing():
    kept = {"1/a": doc(key="ASIA1", shared="s", name="X"), "2/b": doc(shared="s", name="Y")}

    assert () == lineage_of("1/a", kept["1/a"], Kept(kept)).steps[0].copies


@pytest.mark.parametrize(
    ("kind", "credential"),
    [("samlUser", "externalAssertion"), ("awsService", "servicePrincipal"), ("root", "password"),
     ("identityCenterUser", "unknown")],
)  # fmt: skip
def test_who_has_nobody_behind_is_the_first(kind, credential):
    one = doc(kind=kind, credential=credential)

    assert "firstPrincipal" == lineage_of("1/a", one, Kept({"1/a": one})).end
