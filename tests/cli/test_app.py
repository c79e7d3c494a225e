"""logserver.cli.app: the tree of commands, and how every failure leaves it."""

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from logserver import __version__
from logserver.cli import main
from logserver.cli.app import app, run_app
from logserver.cli.exits import CommandError, Exit

COMMAND = f"{sys.executable} -m logserver.cli"


def run_shell(line: str, directory: Path) -> "subprocess.CompletedProcess[str]":
    """What a shell makes of a line."""
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False, timeout=30, cwd=directory
    )


def every_command(group: click.Group = app, path: tuple[str, ...] = ()) -> Iterator[list[str]]:
    """The words of every command of the tree."""
    for name, command in group.commands.items():
        yield [*path, name]
        if isinstance(command, click.Group):
            yield from every_command(command, (*path, name))


@pytest.mark.parametrize("words", [[], *every_command()], ids=" ".join)
def test_every_command_has_a_help_page(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """With a sentence about it, its options, and --json where it prints a result."""
    assert main([*words, "--help"]) == Exit.OK
    page = capsys.readouterr().out
    assert page.startswith("Usage: logserver")
    assert page.split("\n\n")[1].strip().endswith((".", ":"))
    if words and words[-1] not in ("topic", "serve", "completion"):
        assert "--json" in page


@pytest.mark.parametrize("words", [[], ["topic"], ["group"], ["client"]], ids=" ".join)
def test_lists_of_commands_are_not_cut_off(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """At 80 columns each command has its whole sentence."""
    assert main([*words, "--help"]) == Exit.OK
    page = capsys.readouterr().out
    assert "..." not in page.partition("Commands:")[2]


def test_every_option_is_explained() -> None:
    """An option without help is a riddle."""
    unexplained = []
    for words in every_command():
        command: click.Command = app
        for word in words:
            assert isinstance(command, click.Group)
            command = command.commands[word]
        unexplained += [
            f"{words}: {param.name}"
            for param in command.params
            if isinstance(param, click.Option) and not param.help
        ]
    assert unexplained == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["topci"], "logserver: no such command: topci. Did you mean topic?"),
        (["zzz"], "logserver: no such command: zzz. See 'logserver --help'."),
        (["topic", "crate"], "logserver: topic: no such command: crate. Did you mean create?"),
        (
            ["topic", "create", "x", "--partition", "3"],
            "logserver: topic create: no such option: --partition. Did you mean --partitions?",
        ),
        (
            ["topic", "create"],
            "logserver: topic create: missing argument 'NAME'. See 'logserver topic",
        ),
        (["topic", "create", "x", "-p", "0"], "logserver: topic create: invalid value for"),
        (["topic", "create", "x", "-c", "y"], "logserver: topic create: --config y: write KEY"),
        (["consume", "x", "--from", "monday"], "'monday' is not an offset, @milliseconds"),
        (["consume", "x", "--format", "%x"], "logserver: consume: --format: %x is no placeholder"),
        (["group", "list", "--state", "Stabel"], "'Stabel' is not one of 'empty', 'stable'"),
        (["group", "list", "--type", "new"], "'new' is not one of 'classic', 'consumer'"),
        (["produce", "x", "--acks", "2"], "logserver: produce: invalid value for '--acks'"),
    ],
)
def test_a_usage_error_is_one_line_with_what_was_meant(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Code 2, nothing on standard output, no usage page in between."""
    assert main(words) == Exit.USAGE
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert sentence in told.err


def test_no_words_show_the_help_page(capsys: pytest.CaptureFixture[str]) -> None:
    """Code 2, because nothing was done."""
    assert main([]) == Exit.USAGE
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["--version", "-V"])
def test_the_version_is_told(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With and without the tree of commands."""
    assert main([word]) == Exit.OK
    assert run_app([word]) == Exit.OK
    assert capsys.readouterr().out == f"logserver {__version__}\n" * 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandError(Exit.LOCKED, "locked."), Exit.LOCKED),
        (KeyboardInterrupt(), Exit.INTERRUPTED),
        (BrokenPipeError(), Exit.BROKEN_PIPE),
        (click.ClickException("no"), Exit.FAILED),
        (ZeroDivisionError("planted"), Exit.INTERNAL),
    ],
)
def test_every_end_has_its_code(
    error: BaseException, code: Exit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C and a closed pipe are quiet."""

    @click.command()
    def failing() -> None:
        raise error

    monkeypatch.setitem(app.commands, "failing", failing)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert main(["failing"]) == code


def test_a_suggestion_is_the_last_word(capsys: pytest.CaptureFixture[str]) -> None:
    """A question mark ends the sentence; no full stop comes after it."""
    assert main(["topci"]) == Exit.USAGE
    assert capsys.readouterr().err == "logserver: no such command: topci. Did you mean topic?\n"


@pytest.mark.parametrize(
    "words", ["--help", "verify --help", "--version", "serve --help", "dump meta.properties"]
)
def test_a_full_disk_behind_the_output_is_no_bug_of_ours(words: str, tmp_path: Path) -> None:
    """`logserver consume readings > file` on a full disk: one sentence, exit code 1."""
    (tmp_path / "meta.properties").write_text("node.id=1\n" * 10_000)
    result = run_shell(f"{COMMAND} {words} > /dev/full", tmp_path)
    told = "logserver: cannot write to standard output: no space left on device.\n"
    assert (result.returncode, result.stderr) == (Exit.FAILED, told)


def test_closed_standard_files_are_nobodys_bug(tmp_path: Path) -> None:
    """What would be told is not told anywhere else: no sentence in a result."""
    assert run_shell(f"{COMMAND} doctor --help >&-", tmp_path).returncode == Exit.OK
    result = run_shell(f"{COMMAND} verify nothing 2>&-", tmp_path)
    assert (result.returncode, result.stdout) == (Exit.NO_INPUT, "")
    result = run_shell(f"{COMMAND} produce t --bootstrap 127.0.0.1:1 <&-", tmp_path)
    assert result.returncode in (Exit.OK, Exit.UNAVAILABLE)


def test_ctrl_c_while_modules_are_loaded_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of a second after the start a person may have changed their mind."""

    def interrupted(words: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("logserver.cli._run", interrupted)
    assert main(["topic", "list"]) == Exit.INTERRUPTED


@pytest.mark.parametrize("words", ["--help", "serve --help"])
def test_a_reader_that_leaves_ends_the_command_quietly(words: str, tmp_path: Path) -> None:
    """`logserver --help | head -1`: no trace, no message."""
    result = run_shell(f"{COMMAND} {words} | true; echo ${{PIPESTATUS[0]}}", tmp_path)
    assert result.stderr == ""
    assert int(result.stdout) in (Exit.OK, Exit.BROKEN_PIPE)
