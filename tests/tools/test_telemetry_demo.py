"""The demo ends with 0 only when everything came back."""

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from logserver.client import ConsumerRecord
from tools.telemetry import demo
from tools.telemetry.devices import Ledger
from tools.telemetry.own_server import ROOT
from tools.telemetry.screen import Screen


def test_a_short_demo_streams_replays_and_says_what_to_try(tmp_path: Path) -> None:
    """The real thing for a second, on a directory of its own."""
    command = [sys.executable, "-m", "tools.telemetry.demo", "--seconds", "1", "--rate", "2000",
               "--data-dir", str(tmp_path / "data")]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall("count, order and checksum right", done.stdout)) == 2
    assert "all 2,000:" in done.stdout
    assert "P99.9" in done.stdout
    assert "consume telemetry --from" in done.stdout
    assert (tmp_path / "data" / "telemetry-0").is_dir()


def test_a_directory_that_no_server_can_use_is_told_in_one_sentence(tmp_path: Path) -> None:
    """A file where the directory should be: exit code 1, no stack trace."""
    (tmp_path / "file").write_text("")
    command = [sys.executable, "-m", "tools.telemetry.demo", "--data-dir", str(tmp_path / "file")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60,
                          check=False)  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr


def consumed(values: list[bytes]) -> list[ConsumerRecord]:
    """What a consumer would hand out."""
    return [
        ConsumerRecord(topic="t", partition=0, offset=number, timestamp_ms=0, key=b"cpu-0000",
                       value=value, headers=())
        for number, value in enumerate(values)
    ]  # fmt: skip


@pytest.mark.parametrize("back", [[b"a"], [b"b", b"a"], [b"a", b"b", b"b"], [b"a", b"x"]])
def test_whatever_differs_from_what_was_sent_fails_the_demo(back: list[bytes]) -> None:
    """Lost, reordered, repeated, damaged."""
    expected = Ledger()
    for value in (b"a", b"b"):
        expected.note(b"cpu-0000", value)
    screen = Screen(Console(file=io.StringIO()))
    with pytest.raises(demo.Lost) as failure:
        demo.replay(screen, "2  replay", iter(consumed(back)), expected)
    assert "cpu-0000" in failure.value.lines[1]
