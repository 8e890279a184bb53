"""What a newcomer's shell must be told to type."""

import sys

import pytest

from opstrail_cli.own_name import own_name


@pytest.fixture
def program(tmp_path, monkeypatch):
    bin_folder = tmp_path / "checkout" / ".venv" / "bin"
    bin_folder.mkdir(parents=True)
    made = bin_folder / "opstrail"
    made.write_text("#!/bin/sh\n")
    made.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bin_folder / "python"))
    return made


def test_on_the_path_its_name_is_enough(program, monkeypatch):
    monkeypatch.setenv("PATH", str(program.parent))

    assert "opstrail" == own_name()


def test_in_the_checkout_it_is_a_short_path(program, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(program.parents[2])

    assert ".venv/bin/opstrail" == own_name()


def test_elsewhere_it_is_the_whole_path(program, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(tmp_path / "checkout" / ".venv" / "bin" / "..")

    assert "bin/opstrail" == own_name()
    monkeypatch.chdir("/")
    assert str(program).lstrip("/") == own_name().lstrip("/")


def test_another_one_on_the_path_is_not_this_one(program, monkeypatch, tmp_path):
    other = tmp_path / "opstrail"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir("/")

    assert own_name().endswith(".venv/bin/opstrail")
