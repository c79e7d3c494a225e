"""logserver.cli.pages: help pages stay plain text in a pipe and keep their examples' lines."""

import click
import pytest

from logserver.cli.pages import Page, PageGroup, bootstrap_option, json_option


@click.group(cls=PageGroup, epilog="Examples:\n  one  two\n  three")
def tree() -> None:
    """A tree."""


@tree.command()
@bootstrap_option
@json_option
def leaf(bootstrap: str, as_json: bool) -> None:
    """A leaf."""
    click.echo(f"{bootstrap} {as_json}")


def test_the_epilog_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """click alone would wrap examples into one paragraph."""
    tree.main(["--help"], standalone_mode=False)
    assert capsys.readouterr().out.endswith("Examples:\n  one  two\n  three\n")


def test_a_page_in_a_pipe_has_no_colour(capsys: pytest.CaptureFixture[str]) -> None:
    """Headings are bold on a terminal only."""
    tree.main(["leaf", "--help"], standalone_mode=False)
    assert "\x1b" not in capsys.readouterr().out


def test_commands_of_a_group_have_the_same_pages() -> None:
    """Whoever adds a command gets them without asking."""
    assert isinstance(tree.commands["leaf"], Page)


def test_the_server_may_come_from_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The option wins."""
    tree.main(["leaf"], standalone_mode=False)
    monkeypatch.setenv("LOGSERVER_BOOTSTRAP", "a:1")
    tree.main(["leaf", "--json"], standalone_mode=False)
    tree.main(["leaf", "--bootstrap", "b:2"], standalone_mode=False)
    assert capsys.readouterr().out == "127.0.0.1:9092 False\na:1 True\nb:2 False\n"
