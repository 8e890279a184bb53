"""Inventories as facts; what is wrong with one names the file and the item."""

import json

import pytest

from opstrail_enrich.account_inventory import account_facts
from opstrail_enrich.import_plan import plan_import
from opstrail_enrich.inventory_shape import Saved
from opstrail_enrich.stack_catalog import StackCatalog
from opstrail_enrich.stack_inventory import stack_facts
from opstrail_runtime.errors import InvalidRecord
from opstrail_schemas.messages import Account, StackFact
from opstrail_schemas.topics import TopicName
from tests.support.enriching import ACCOUNT, INSTANCE, LAYER, STACK, STACK_FACT, T0, stack_defined

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
    "CreatedAt": "2013-08-01T22:53:42+00:00",
}
A_LAYER = {"LayerId": LAYER, "StackId": STACK, "Name": "Web", "Shortname": "web", "Type": "custom"}
AN_INSTANCE = {"InstanceId": INSTANCE, "StackId": STACK, "Hostname": "web1", "Ec2InstanceId": "i-1"}


def saved(value: object, file: str = "stacks.json") -> Saved:
    return Saved(file, value if isinstance(value, str) else json.dumps(value))


def message_of(error: pytest.ExceptionInfo[InvalidRecord]) -> str:
    assert "invalid-inventory" == error.value.reason
    return error.value.message


# Stacks


def test_a_stack_becomes_a_fact_about_itself_and_its_role() -> None:
    [fact] = stack_facts([saved({"Stacks": [A_STACK]})])

    assert (
        StackFact(
            kind="stackDefined",
            account_id=ACCOUNT,
            stack_id=STACK,
            attributes={
                "name": "shop-prod",
                "region": "eu-west-1",
                "serviceRoleArn": ROLE,
                "createdAt": "2013-08-01T22:53:42+00:00",
                "arn": f"arn:aws:opsworks:eu-west-1:{ACCOUNT}:stack/{STACK}/",
                "configurationManagerName": "Chef",
                "configurationManagerVersion": "12",
            },
            concerns=[f"{ACCOUNT}/stack/{STACK}", f"{ACCOUNT}/role/{ROLE}"],
            source="import",
        )
        == fact
    )


def test_what_is_in_a_stack_has_the_stack_s_account() -> None:
    facts = stack_facts(
        [
            saved({"Layers": [A_LAYER], "Apps": [{"AppId": "a", "StackId": STACK}]}),
            saved({"Instances": [AN_INSTANCE]}, "instances.json"),
            saved({"Stacks": [A_STACK]}),
        ],
        valid_from=T0,
    )

    assert [
        ("layer", LAYER, {"name": "Web", "shortname": "web", "type": "custom"}),
        ("app", "a", {}),
        ("instance", INSTANCE, {"hostname": "web1", "ec2InstanceId": "i-1"}),
    ] == [(f.subject_kind, f.subject_id, f.attributes) for f in facts[:3]]
    assert {(ACCOUNT, T0, STACK)} == {(f.account_id, f.valid_from, f.stack_id) for f in facts}
    assert [f"{ACCOUNT}/layer/{LAYER}"] == facts[0].concerns


@pytest.mark.parametrize(
    "given",
    [{"account_id": "444455556666"}, {"accounts_of_stacks": {STACK: "444455556666"}}],
)
def test_an_account_that_a_file_does_not_tell_is_given(given: dict) -> None:
    [fact] = stack_facts([saved({"Layers": [A_LAYER]})], **given)

    assert "444455556666" == fact.account_id


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
            {"Stacks": [A_STACK, A_STACK]},
            f"stacks.json: item 2 of Stacks: StackId {STACK} is there twice, first at ",
        ),
    ],
)
def test_a_wrong_inventory_of_stacks_is_refused(value: object, message: str) -> None:
    with pytest.raises(InvalidRecord) as error:
        stack_facts([saved(value)])

    assert message_of(error).startswith(message)


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
