"""How what the doctor finds is judged and told."""

import pytest

from opstrail_cli import findings
from opstrail_cli.findings import Finding, bad, exit_code, good, warning


def test_only_what_is_bad_makes_the_command_fail() -> None:
    assert 0 == exit_code([])
    assert 0 == exit_code([good("a", "b"), warning("a", "b", "c")])
    assert 1 == exit_code([good("a", "b"), bad("a", "b", "c")])


@pytest.mark.parametrize(
    ("version", "level"),
    [("2.18.0", "bad"), ("2.19.0", "good"), ("3.8.0", "good"), ("x", "bad"), ("", "bad")],
)
def test_versions_of_opensearch(version: str, level: str) -> None:
    assert level == findings.of_opensearch_version(version).level


_BROKER = {
    findings.SINCE_OLDEST_KAFKA: "true",
    "offsets.retention.minutes": "129600",
    "transaction.max.timeout.ms": "900000",
}


@pytest.mark.parametrize(
    ("changed", "levels"),
    [
        ({}, ["good"]),
        ({"offsets.retention.minutes": "10080"}, ["good", "warning"]),
        ({"transaction.max.timeout.ms": "10000"}, ["good", "bad"]),
        # One that does not say: nothing is made up.
        ({"offsets.retention.minutes": None, "transaction.max.timeout.ms": None}, ["good"]),
    ],
)
def test_settings_of_brokers(changed: dict[str, str | None], levels: list[str]) -> None:
    found = list(findings.of_broker({**_BROKER, **changed}))

    assert levels == [each.level for each in found]
    assert all(each.mend for each in found[1:])


def test_a_kafka_that_is_too_old_is_told_by_a_setting_that_it_does_not_know() -> None:
    (found,) = findings.of_broker({"transaction.max.timeout.ms": "900000"})

    assert ("bad", "upgrade Kafka to 3.6 or later") == (found.level, found.mend)


@pytest.mark.parametrize(
    ("percent", "level"), [(0, "good"), (79, "good"), (80, "warning"), (90, "bad"), (100, "bad")]
)
def test_disks(percent: int, level: str) -> None:
    assert level == findings.of_disk("n", percent).level


@pytest.mark.parametrize(("seconds", "level"), [(0, "good"), (-4.9, "good"), (-5.1, "bad")])
def test_clocks(seconds: float, level: str) -> None:
    assert level == findings.of_clock(seconds, "x").level


@pytest.mark.parametrize(("records", "level"), [(0, "good"), (500_001, "warning")])
def test_lags(records: int, level: str) -> None:
    assert level == findings.of_lag("split", records).level


def test_rights_that_lack_are_named_with_the_command_that_gives_them() -> None:
    found = findings.of_rights("t", {"Read"}, {"Read", "Write", "Describe"}, "u")

    assert found is not None
    assert "u may not Describe, Write t" == found.what
    assert "--operation Describe --operation Write" in found.mend
    assert findings.of_rights("t", {"Read"}, {"Read"}, "u") is None


def test_a_missing_statement_is_a_line_of_json() -> None:
    assert '{"Effect": "Allow", "Action": ["a:B", "a:C"], "Resource": "arn"}' == findings.statement(
        ["a:B", "a:C"], "arn"
    )


def test_a_finding_is_a_row() -> None:
    assert {"area": "a", "level": "bad", "what": "b", "mend": "c"} == Finding(
        "a", "bad", "b", "c"
    ).row()
