"""Commands of store say plainly what they cannot do."""

import pytest
from click.testing import CliRunner

from opstrail_runtime.errors import Refused
from opstrail_store import commands


def test_facts_without_room_end_a_repair_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise Refused("facts: database or disk is full: give it more room")

    for name in ("KAFKA__BOOTSTRAP_SERVERS", "REGISTRY__URL", "OPENSEARCH__URL"):
        monkeypatch.setenv(f"OPSTRAIL_{name}", "http://localhost:9")
    monkeypatch.setattr(commands, "new_reread", full)
    monkeypatch.setattr(commands, "serve_while_at_work", lambda *_: None)

    result = CliRunner().invoke(commands.store, ["reread"])

    assert 1 == result.exit_code
    assert result.stderr.endswith("Error: facts: database or disk is full: give it more room\n")
