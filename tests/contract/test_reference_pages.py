"""Every setting and every command is documented, as it is now."""

from opstrail_cli.main import COMMANDS
from opstrail_runtime.wrong_settings import SECTIONS
from tools.docs import commands_page, settings_page


def test_the_settings_page_is_up_to_date() -> None:
    assert settings_page.PAGE.read_text("utf-8") == settings_page.page(), (
        "python -m tools.docs.settings_page"
    )


def test_every_setting_says_what_it_is() -> None:
    for name in settings_page.settings():
        (row,) = [line for line in settings_page.page().splitlines() if f"| `{name}` |" in line]
        assert row.rstrip(" |").endswith((".", ")", "...")), row


def test_a_section_that_no_service_has_is_known_as_such() -> None:
    assert {path[0] for _, path, _ in settings_page.settings().values()} == SECTIONS


def test_the_commands_page_is_up_to_date() -> None:
    assert commands_page.PAGE.read_text("utf-8") == commands_page.page(), (
        "python -m tools.docs.commands_page"
    )


def test_every_command_says_what_it_does() -> None:
    found = dict(commands_page.commands())

    assert set(COMMANDS) == {words[0] for words in found}
    for words, command in found.items():
        assert command.help, words
