"""Inventories as facts; what is wrong with one names the file and the item."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstrail_enrich.account_inventory import account_facts
from opstrail_enrich.enrichment import Catalogs, enrich
from opstrail_enrich.import_plan import plan_import
from opstrail_enrich.inventory_shape import Saved
from opstrail_enrich.learning import facts_of
from opstrail_enrich.stack_catalog import StackCatalog
from opstrail_enrich.stack_inventory import stack_facts
from opstrail_runtime.errors import InvalidRecord
from opstrail_schemas.facts import digest_of
from opstrail_schemas.messages import Account, StackFact
from opstrail_schemas.topics import TopicName
from tests.support.enriching import (
    ACCOUNT,
    INSTANCE,
    LAYER,
    OTHER_STACK,
    STACK,
    STACK_FACT,
    T0,
    opsworks_event,
    stack_defined,
)

ROLE = f"arn:aws:iam::{ACCOUNT}:role/aws-opsworks-service-role"
A_STACK = {
    "StackId": STACK,
    "Name": "shop-prod",
    "Arn": f"arn:aws:opsworks:eu-west-1:{ACCOUNT}:stack/{STACK}/",
    "Region": "eu-west-1",
    "VpcId": None,
    "Attributes": {"Color": "red"},
    "ServiceRoleArn": ROLE,
    "DefaultOs": "**redacted**",
    "ConfigurationManager": {"Name": "Chef", "Version": "12"},
    "CreatedAt": "2015-08-01T22:53:42+00:00",
    "UseCustomCookbooks": False,
    "CustomCookbooksSource": {"Type": "git", "Url": None},
}
A_LAYER = {"LayerId": LAYER, "StackId": STACK, "Name": "Web", "Shortname": "web", "Type": "custom"}
AN_INSTANCE = {"InstanceId": INSTANCE, "StackId": STACK, "Hostname": "web1", "Ec2InstanceId": "i-1",
               "LayerIds": [LAYER, "l-2"]}  # fmt: skip


def saved(value: object, file: str = "stacks.json") -> Saved:
    return Saved(file, value if isinstance(value, str) else json.dumps(value))


def message_of(error: pytest.ExceptionInfo[InvalidRecord]) -> str:
    assert "invalid-inventory" == error.value.reason
    return error.value.message


# Stacks


def test_a_stack_becomes_a_fact_about_itself_its_name_and_its_role() -> None:
    [fact] = stack_facts([saved({"Stacks": [A_STACK]})])

    stack = f"{ACCOUNT}/stack/{STACK}"
    # An answer does not say its endpoint: the stack's Region, or that of all classic Regions.
    names = [f"{ACCOUNT}/{region}/stackName/shop-prod" for region in ("eu-west-1", "us-east-1")]
    assert (
        StackFact(
            kind="stackDefined",
            account_id=ACCOUNT,
            stack_id=STACK,
            attributes={
                "name": "shop-prod",
                "region": "eu-west-1",
                "serviceRoleArn": ROLE,
                "createdAt": "2015-08-01T22:53:42+00:00",
                "arn": f"arn:aws:opsworks:eu-west-1:{ACCOUNT}:stack/{STACK}/",
                "attributes.Color": "red",
                "configurationManager.name": "Chef",
                "configurationManager.version": "12",
                "useCustomCookbooks": "false",
                "customCookbooksSource.type": "git",
            },
            concerns=[stack, *names, f"{ACCOUNT}/role/{ROLE}"],
            leads_to=[stack, *names],
            source="import",
        )
        == fact
    )


def test_an_inventory_says_what_the_trail_says_in_the_same_words() -> None:
    request = {
        "name": "shop-prod", "region": "eu-west-1", "serviceRoleArn": ROLE,
        "attributes": {"Color": "red"}, "configurationManager": {"name": "Chef", "version": "12"},
        "useCustomCookbooks": False, "customCookbooksSource": {"type": "git"},
    }  # fmt: skip

    [saved_fact] = stack_facts([saved({"Stacks": [A_STACK]})])
    learnt = facts_of(opsworks_event("CreateStack", request, {"stackId": STACK}))[0]

    assert isinstance(learnt, StackFact)
    assert {"arn", "createdAt"} == set(saved_fact.attributes) - set(learnt.attributes)
    assert learnt.attributes.items() <= saved_fact.attributes.items()


@pytest.mark.parametrize("endpoint", ["us-east-1", "eu-west-1"])
def test_a_creation_without_id_is_found_by_the_name_that_an_inventory_tells(endpoint: str) -> None:
    created = opsworks_event(
        "CreateStack", {"name": "shop-prod", "vpcId": "vpc-1"}, awsRegion=endpoint,
        event_time=1_438_469_622_000,
    )  # fmt: skip
    catalogs = Catalogs()
    for fact in [*facts_of(created), *stack_facts([saved({"Stacks": [A_STACK]})])]:
        assert isinstance(fact, StackFact)
        catalogs.stacks.facts.add(digest_of(fact), fact)

    stack = enrich(created, catalogs).stack

    assert stack is not None
    assert (STACK, "name", "vpc-1") == (stack.id, stack.resolution, stack.vpc_id)


def test_what_is_in_a_stack_has_the_stack_s_account_and_its_link_is_undated() -> None:
    facts = stack_facts(
        [
            saved({"Layers": [A_LAYER], "Apps": [{"AppId": "a", "StackId": STACK}]}),
            saved({"Instances": [AN_INSTANCE]}, "instances.json"),
            saved({"Stacks": [A_STACK]}),
        ],
        valid_from=T0,
    )

    assert [
        ("childBelongs", "layer", LAYER, None, {}),
        ("childDefined", "layer", LAYER, T0, {"name": "Web", "shortname": "web", "type": "custom"}),
        ("childBelongs", "app", "a", None, {}),
        ("childBelongs", "instance", INSTANCE, None, {}),
        ("childDefined", "instance", INSTANCE, T0, {"hostname": "web1", "ec2InstanceId": "i-1"}),
        ("stackDefined", None, None, T0, facts[5].attributes),
        ("childBelongs", "layer", "l-2", None, {}),
    ] == [(f.kind, f.subject_kind, f.subject_id, f.valid_from, f.attributes) for f in facts]
    assert {(ACCOUNT, STACK)} == {(f.account_id, f.stack_id) for f in facts}
    assert ([f"{ACCOUNT}/layer/{LAYER}"], [f"{ACCOUNT}/stack/{STACK}"]) == (
        facts[0].concerns,
        facts[0].leads_to,
    )


def test_secrets_and_what_is_held_back_are_not_kept() -> None:
    stack = A_STACK | {
        "Name": "**redacted**",
        "ServiceRoleArn": "HIDDEN_DUE_TO_SECURITY_REASONS",
        "CustomJson": '{"password": "x"}',
        "CustomCookbooksSource": {"Url": "https://u:secret@h/x", "Password": "x", "SshKey": "x"},
        "VpcId": "x" * 3_000,
    }

    [fact] = stack_facts([saved({"Stacks": [stack]})])

    assert {
        "region", "createdAt", "arn", "attributes.Color", "configurationManager.name",
        "configurationManager.version", "useCustomCookbooks",
    } == set(fact.attributes)  # fmt: skip
    assert [f"{ACCOUNT}/stack/{STACK}"] == fact.concerns


def test_the_same_inventory_again_contradicts_nothing() -> None:
    catalog = StackCatalog()
    other = A_STACK | {"StackId": OTHER_STACK, "Name": "blog", "Arn": None}
    answers = [saved({"Stacks": [A_STACK], "Layers": [A_LAYER], "Instances": [AN_INSTANCE]})]
    for fact in stack_facts(answers):
        catalog.facts.add(digest_of(fact), fact)

    again = stack_facts([*answers, saved({"Stacks": [other]})])  # with the same role
    plan = plan_import(again, catalog.facts.__contains__, catalog.contradictions)

    assert (1, []) == (len(plan.new), plan.contradictions)


@pytest.mark.parametrize(
    "told",
    [{"account_id": "444455556666"}, {"accounts_of_stacks": {STACK: "444455556666"}}],
)
def test_an_account_that_a_file_does_not_tell_is_given(told: dict) -> None:
    facts = stack_facts([saved({"Layers": [A_LAYER]})], **told)

    assert {"444455556666"} == {fact.account_id for fact in facts}


def test_a_stack_s_account_is_its_role_s_or_the_given_one() -> None:
    without_arn = {"StackId": STACK, "Name": "x", "ServiceRoleArn": ROLE}
    bare = {"StackId": "other", "Name": "y"}

    facts = stack_facts([saved({"Stacks": [without_arn, bare]})], account_id="444455556666")

    assert [ACCOUNT, "444455556666"] == [fact.account_id for fact in facts]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{", "stacks.json: not JSON: "),
        ("[" * 100_000, "stacks.json: not JSON: "),
        ([], "stacks.json: not an object"),
        ({"Servers": []}, "stacks.json: none of Stacks, Layers, Instances, Apps is in it"),
        ({"Stacks": {}}, "stacks.json: Stacks is not a list"),
        ({"Stacks": [A_STACK, 7]}, "stacks.json: item 2 of Stacks: not an object"),
        ({"Stacks": [{"Name": "x"}]}, "stacks.json: item 1 of Stacks: StackId is missing"),
        ({"Stacks": [{**A_STACK, "Name": None}]}, "stacks.json: item 1 of Stacks: Name is missing"),
        ({"Stacks": [{**A_STACK, "Region": 7}]}, "stacks.json: item 1 of Stacks: Region is not a"),
        (
            {"Stacks": [{**A_STACK, "ConfigurationManager": "Chef"}]},
            "stacks.json: item 1 of Stacks: ConfigurationManager: not an object",
        ),
        ({"Layers": [A_LAYER]}, "stacks.json: item 1 of Layers: its account is not known"),
        (
            {"Stacks": [{**A_STACK, "ConfigurationManager": {"Name": 7}}]},
            "stacks.json: item 1 of Stacks: ConfigurationManager: Name is not a text",
        ),
        (
            {"Stacks": [{**A_STACK, "UseCustomCookbooks": "yes"}]},
            "stacks.json: item 1 of Stacks: UseCustomCookbooks is neither true nor false",
        ),
        (
            {"Stacks": [{**A_STACK, "CreatedAt": "soon"}]},
            "stacks.json: item 1 of Stacks: CreatedAt is not a time: soon",
        ),
        (
            {"Stacks": [{**A_STACK, "StackId": "x" * 513}]},
            "stacks.json: item 1 of Stacks: StackId is longer than 512 characters",
        ),
        (
            {"Stacks": [{**A_STACK, "StackId": "**redacted**"}]},
            "stacks.json: item 1 of Stacks: StackId is held back: **redacted**",
        ),
        (
            {"Stacks": [{**A_STACK, "DefaultOs": "\ud800"}]},
            "stacks.json: item 1 of Stacks: a text has half of a surrogate pair",
        ),
        ({"Layers": [{"LayerId": LAYER}]}, "stacks.json: item 1 of Layers: StackId is missing"),
        (
            {"Stacks": [A_STACK], "Instances": [{**AN_INSTANCE, "LayerIds": LAYER}]},
            "stacks.json: item 1 of Instances: LayerIds is not a list",
        ),
        (
            {"Stacks": [A_STACK], "Instances": [{**AN_INSTANCE, "LayerIds": [None]}]},
            "stacks.json: item 1 of Instances: LayerIds is missing, or not a text",
        ),
        (
            {
                "Stacks": [A_STACK, {**A_STACK, "StackId": OTHER_STACK}],
                "Layers": [{**A_LAYER, "StackId": OTHER_STACK}],
                "Instances": [AN_INSTANCE],
            },
            f"stacks.json: item 1 of Instances: layer {LAYER} is in stack {STACK} here, in ",
        ),
        (
            '{"Stacks": [{"StackId": "s", "Name": "n", "Name": "m", "Region": "r"}]}',
            "stacks.json: Name is there twice in one object",
        ),
        (
            {"Stacks": [A_STACK, A_STACK]},
            f"stacks.json: item 2 of Stacks: StackId {STACK} is there twice, first at ",
        ),
    ],
)
def test_a_wrong_inventory_of_stacks_is_refused(value: object, message: str) -> None:
    with pytest.raises(InvalidRecord) as error:
        stack_facts([saved(value)])

    assert message_of(error).startswith(message)


def test_a_stack_that_is_known_in_another_account_is_refused() -> None:
    with pytest.raises(InvalidRecord) as error:
        stack_facts([saved({"Stacks": [A_STACK]})], accounts_of_stacks={STACK: "444455556666"})

    assert (
        f"stacks.json: item 1 of Stacks: Arn names account {ACCOUNT}; "
        "the stack is known in 444455556666"
    ) == message_of(error)


def test_an_account_that_is_no_number_is_refused() -> None:
    with pytest.raises(InvalidRecord) as error:
        stack_facts([saved({"Layers": [A_LAYER]})], account_id="prod")

    assert "--account: prod is no account number" == message_of(error)


@given(
    st.sampled_from(["Stacks", "Layers", "Instances", "Apps"]),
    st.dictionaries(
        st.sampled_from([*A_STACK, *A_LAYER, *AN_INSTANCE, "AppId"]),
        st.recursive(
            st.none() | st.booleans() | st.text(max_size=5) | st.just(STACK),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["Name", "Color", "Type"]), inner, max_size=3)
            ),
            max_leaves=4,
        ),
    ),
)
def test_any_item_is_refused_or_becomes_facts_that_can_be_written(kind: str, item: dict) -> None:
    facts: list[StackFact] = []

    with suppress(InvalidRecord):
        facts = stack_facts([saved({kind: [A_STACK | A_LAYER | item]})], account_id=ACCOUNT)

    for fact in facts:
        assert STACK_FACT.decode(STACK_FACT.encode(fact)) == fact


# Accounts

LISTED = {
    "Accounts": [
        {
            "Id": ACCOUNT,
            "Arn": f"arn:aws:organizations::1:account/o-1/{ACCOUNT}",
            "Email": "a@example.com",
            "Name": "prod",
            "Status": "ACTIVE",
            "Paths": [f"o-1/r-1/ou-1/{ACCOUNT}/"],
            "Tags": [{"Key": "team", "Value": "x"}],
        }
    ]
}


def test_an_answer_of_organizations_is_read() -> None:
    assert [
        Account(
            account_id=ACCOUNT,
            name="prod",
            arn=f"arn:aws:organizations::1:account/o-1/{ACCOUNT}",
            email="a@example.com",
            ou_path="o-1/r-1/ou-1",
            state="ACTIVE",
            tags={"team": "x"},
            source="organizations",
        )
    ] == account_facts([saved(LISTED, "list.json")])


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("a.csv", "\ufeffaccount_id,Name,OU Path,owner\n012345678901,prod,Root/Prod,me\n"),
        ("a.yaml", "- id: 012345678901\n  name: prod\n  ouPath: Root/Prod\n"),
        ("a.yml", "012345678901:\n  name: prod\n  path: Root/Prod\n"),
        ("a.json", '[{"accountId": "012345678901", "accountName": "prod", "ou": "Root/Prod"}]'),
    ],
)
def test_accounts_are_read_from_csv_yaml_and_json(file: str, text: str) -> None:
    assert [
        Account(
            account_id="012345678901",
            name="prod",
            ou_path="Root/Prod",
            source="file",
            valid_from=T0,
        )
    ] == account_facts([Saved(file, text)], valid_from=T0)


@pytest.mark.parametrize("name", ["two\nlines", "a\u2028b", "a\x85b", "a\x0bb"])
def test_a_name_in_csv_may_have_breaks(name: str) -> None:
    facts = account_facts([Saved("a.csv", f'id,name\r\n{ACCOUNT},"{name}"\r\n444455556666,x\r\n')])

    assert [name, "x"] == [fact.name for fact in facts]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("a.yaml", "111122223333: prod\n"),
        ("a.json", '{"111122223333": "prod"}'),
        ("a.json", '[{"id": 111122223333, "name": "prod", "Paths": [], "tags": ""}]'),
    ],
)
def test_a_name_by_number_is_enough(file: str, text: str) -> None:
    assert [Account(account_id=ACCOUNT, name="prod", source="file")] == account_facts(
        [Saved(file, text)]
    )


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("a.txt", "", "a.txt: neither .csv, .yaml nor .json"),
        ("a.json", "{", "a.json: not JSON: "),
        ("a.yaml", "a: [", "a.yaml: not YAML: "),
        ("a.json", "7", "a.json: not an object"),
        ("a.json", "[7]", "a.json: item 1: not an object"),
        ("a.csv", "id,name\n1,2,3\n", "a.csv: line 2: more values than"),
        ("a.csv", "id,name\n12345678901,prod\n", "a.csv: line 2: 12345678901 is no account number"),
        ("a.json", '[{"name": "x"}]', "a.json: item 1: nothing is no account number"),
        ("a.json", '[{"id": [1]}]', "a.json: item 1: nothing is no account number"),
        ("a.csv", f"id,name\n{ACCOUNT},\n", "a.csv: line 2: it has neither a name nor a path"),
        ("a.json", f'{{"{ACCOUNT}": 7}}', f"a.json: {ACCOUNT}: not an object"),
        ("a.json", f'[{{"id": "{ACCOUNT}", "name": 7}}]', "a.json: item 1: name is not a text"),
        ("a.json", f'[{{"id": "{ACCOUNT}", "Paths": [7]}}]', "a.json: item 1: Paths is not"),
        (
            "a.json",
            f'[{{"id": "{ACCOUNT}", "name": "x", "tags": {{"a": 1}}}}]',
            "a.json: item 1: a tag's key or value",
        ),
        ("a.json", f'{{"{ACCOUNT}": "a", "{ACCOUNT}": "b"}}', f"a.json: {ACCOUNT} is there twice"),
        ("a.yaml", f"{ACCOUNT}: a\n{ACCOUNT}: b\n", "a.yaml: not YAML: a key is there twice"),
        (
            "a.yaml",
            f"- {{id: {ACCOUNT}, name: a, name: b}}\n",
            "a.yaml: not YAML: a key is there twice",
        ),
        ("a.csv", f"id,name,name\n{ACCOUNT},a,b\n", "a.csv: line 1: name is there twice"),
        ("a.csv", f"id,name\n1,{'x' * 140_000}\n", "a.csv: after line 1: not CSV: field larger"),
        (
            "a.csv",
            f"id,name\n{ACCOUNT},a\n{ACCOUNT},b\n",
            f"a.csv: line 3: account {ACCOUNT} is there twice, first at a.csv: line 2",
        ),
    ],
)
def test_a_wrong_inventory_of_accounts_is_refused(file: str, text: str, message: str) -> None:
    with pytest.raises(InvalidRecord) as error:
        account_facts([Saved(file, text)])

    assert message_of(error).startswith(message)


def test_an_account_in_two_files_is_refused() -> None:
    with pytest.raises(InvalidRecord) as error:
        account_facts(
            [Saved("a.json", f'{{"{ACCOUNT}": "a"}}'), Saved("b.json", f'{{"{ACCOUNT}": "b"}}')]
        )

    assert f"b.json: {ACCOUNT}: account {ACCOUNT} is there twice" in message_of(error)


# Plans


def test_facts_that_are_there_are_not_written_again() -> None:
    catalog = StackCatalog()
    there, new = stack_defined(name="a"), stack_defined("2", name="b")
    first = plan_import([there], catalog.facts.__contains__, catalog.contradictions)
    for digest, fact in first.new.items():
        catalog.facts.add(digest, fact)

    plan = plan_import([there, new], catalog.facts.__contains__, catalog.contradictions)

    assert ([new], 1, []) == (list(plan.new.values()), plan.already_there, plan.contradictions)
    [output] = plan.outputs(TopicName.STACK_FACTS, STACK_FACT)
    assert (TopicName.STACK_FACTS, new) == (output.topic, STACK_FACT.decode(output.value or b""))


def test_a_contradiction_is_planned_for_somebody_to_see() -> None:
    catalog = StackCatalog()
    catalog.facts.add(b"1", stack_defined(name="a"))

    plan = plan_import(
        [stack_defined(name="b")], catalog.facts.__contains__, catalog.contradictions
    )

    assert 1 == len(plan.contradictions)
