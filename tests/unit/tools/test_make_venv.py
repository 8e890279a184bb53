"""How `make setup` hands pip's configuration to uv, and finds uv in the lock."""

from pathlib import Path

import pytest

from tools.make_venv import LOCK, locked, uv_environment


def test_the_index_and_certificate_of_pip_are_handed_to_uv() -> None:
    said = "global.index-url='https://mirror.example/simple'\nglobal.cert='/etc/ssl/own.pem'\n"

    assert {
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "SSL_CERT_FILE": "/etc/ssl/own.pem",
    } == uv_environment(said)


def test_what_the_environment_tells_pip_counts_more_than_its_files() -> None:
    said = "global.index-url='https://a.example'\n:env:.index-url='https://b.example'\n"

    assert {"UV_DEFAULT_INDEX": "https://b.example"} == uv_environment(said)


def test_folders_of_wheels_that_are_not_there_are_left_out(tmp_path: Path) -> None:
    said = f"global.find-links='\\n{tmp_path}\\n{tmp_path}/none'\n:env:.default-timeout='180'\n"

    assert {"UV_FIND_LINKS": str(tmp_path)} == uv_environment(said)


def test_the_lock_holds_uv_with_its_hashes() -> None:
    first, *hashes = locked("uv", LOCK.read_text()).splitlines()

    assert first.startswith("uv==")
    assert hashes
    assert all(line.strip().startswith("--hash=sha256:") for line in hashes)


def test_a_lock_without_uv_says_what_to_do() -> None:
    with pytest.raises(SystemExit, match="make lock"):
        locked("uv", "pip==1 \\\n    --hash=sha256:00\n")
