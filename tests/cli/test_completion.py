"""logserver completion: what a shell is told, and that a shell understands it."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from logserver.cli import main
from logserver.cli.completion import SHELLS
from logserver.cli.exits import Exit
from logserver.client import Admin
from tests.server_process import ROOT, ServerProcess

COMMAND = [sys.executable, "-m", "logserver.cli"]


def complete(*words: str, environment: Mapping[str, str] | None = None) -> list[str]:
    """What may follow these words, the last of which is not complete."""
    asked = {"COMP_WORDS": " ".join(["logserver", *words]), "COMP_CWORD": str(len(words))}
    done = subprocess.run(
        COMMAND,
        capture_output=True,
        text=True,
        timeout=30,
        cwd=ROOT,
        check=False,
        env={**os.environ, "_LOGSERVER_COMPLETE": "bash_complete", **asked, **(environment or {})},
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_commands_and_options_are_completed() -> None:
    """Also those of `serve`, which click does not parse."""
    assert complete("top") == ["topic"]
    assert complete("topic", "de") == ["delete", "describe"]
    assert complete("consume", "--fo") == ["--follow", "--format"]
    assert complete("serve", "--data") == ["--data-dir"]
    assert "--listen" in complete("serve", "--")
    assert complete("completion", "f") == ["fish"]


def test_topics_are_asked_from_the_server_that_is_named(server: ServerProcess) -> None:
    """By the option or the environment."""
    with Admin(server.bootstrap) as admin:
        for name in ("readings", "reports", "other"):
            admin.create_topic(name)
    named = ["--bootstrap", server.bootstrap]
    assert sorted(complete("topic", "describe", *named, "re")) == ["readings", "reports"]
    environment = {"LOGSERVER_BOOTSTRAP": server.bootstrap}
    assert complete("consume", "oth", environment=environment) == ["other"]
    assert complete("group", "describe", "x", environment=environment) == []


def test_a_server_that_is_not_there_completes_nothing() -> None:
    """And says nothing: somebody is in the middle of a line."""
    assert complete("consume", "re", environment={"LOGSERVER_BOOTSTRAP": "127.0.0.1:1"}) == []


@pytest.mark.parametrize("shell", SHELLS)
def test_there_is_a_script_for_each_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It asks us under the name that we listen to."""
    assert main(["completion", shell]) == Exit.OK
    assert f"_LOGSERVER_COMPLETE={shell}_complete" in capsys.readouterr().out


def test_bash_completes_with_the_script(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    """A real shell evaluates it and gets the answer."""
    bash = require_tool("bash")
    command = tmp_path / "logserver"
    command.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    command.chmod(0o755)
    program = (
        'eval "$(logserver completion bash)"\n'
        "COMP_WORDS=(logserver top) COMP_CWORD=1\n"
        "_logserver_completion logserver\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        [bash, "--norc", "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=ROOT,
        check=True,
        env=environment,
    )
    assert done.stdout == "topic\n"
