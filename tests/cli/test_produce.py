"""logserver.cli.produce: lines become records, each once, in their order, or the code says so."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from logserver.cli import main
from logserver.cli.exits import CommandError, Exit
from logserver.cli.produce import LINE_BYTES_MAX, input_bytes, lines, open_input, paced
from logserver.client import Consumer, ConsumerRecord

Produce = Callable[..., dict[str, Any]]


@pytest.fixture
def produce(kafka_bootstrap: str) -> Produce:
    """Run `produce --json` as a process with this standard input; its summary."""

    def run(*words: str, text: bytes = b"", code: int = Exit.OK) -> dict[str, Any]:
        command = [sys.executable, "-m", "logserver.cli", "produce", *words, "--json"]
        result = subprocess.run(
            [*command, "--bootstrap", kafka_bootstrap],
            input=text,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == code, result.stderr
        document: dict[str, Any] = json.loads(result.stdout) if result.stdout else {}
        return document

    return run


def records_of(bootstrap: str, topic: str) -> list[ConsumerRecord]:
    """Everything a topic holds."""
    with Consumer(bootstrap, topic, start="beginning", stop_at_end=True) as consumer:
        return list(consumer)


def test_every_line_is_a_record(produce: Produce, kafka_bootstrap: str) -> None:
    """In order, without its newline; empty lines too, and a last line without newline."""
    summary = produce("lines", text=b"one\n\nthree\r\n\xff\xfe\nlast")
    assert (summary["records"], summary["failed"], summary["topic"]) == (5, 0, "lines")
    values = [record.value for record in records_of(kafka_bootstrap, "lines")]
    assert values == [b"one", b"", b"three\r", b"\xff\xfe", b"last"]


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_files_are_read_one_after_the_other(
    produce: Produce, kafka_bootstrap: str, tmp_path: Path, compression: str
) -> None:
    """With each codec; '-' is standard input among them."""
    wanted = [b"%d" % number for number in range(5000)]
    (tmp_path / "a").write_bytes(b"\n".join(wanted[:2000]) + b"\n")
    (tmp_path / "b").write_bytes(b"\n".join(wanted[3000:]))
    topic = f"files-{compression}"
    words = [topic, str(tmp_path / "a"), "-", str(tmp_path / "b"), "--compression", compression]
    assert produce(*words, text=b"\n".join(wanted[2000:3000]))["records"] == 5000
    assert [record.value for record in records_of(kafka_bootstrap, topic)] == wanted


def test_keys_and_headers_come_along(produce: Produce, kafka_bootstrap: str) -> None:
    """The key is what stands before the first separator; without one there is no key."""
    produce("keyed", "-K", ": ", "-H", "site=north", "-H", "v=1=2", text=b"a: b: c\nplain\n: x\n")
    found = [(one.key, one.value, one.headers) for one in records_of(kafka_bootstrap, "keyed")]
    headers = (("site", b"north"), ("v", b"1=2"))
    assert found == [(b"a", b"b: c", headers), (None, b"plain", headers), (b"", b"x", headers)]


def test_a_partition_may_be_chosen(produce: Produce, kafka_bootstrap: str) -> None:
    """Then the key decides nothing."""
    words = ["topic", "create", "chosen", "-p", "3", "--bootstrap", kafka_bootstrap]
    assert main(words) == Exit.OK
    produce("chosen", "-p", "2", "-K", ":", text=b"a:1\nb:2\nc:3\n")
    assert [one.partition for one in records_of(kafka_bootstrap, "chosen")] == [2, 2, 2]
    produce("chosen", "-p", "3", text=b"x\n", code=Exit.FAILED)


@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_every_acks_ends_after_the_records_have_left(
    produce: Produce, kafka_bootstrap: str, acks: str
) -> None:
    """What was sent with acks=0 is there soon, too."""
    assert produce(f"acks-{acks}", "--acks", acks, text=b"a\nb\n")["records"] == 2
    found: list[ConsumerRecord] = []
    while len(found) < 2:
        found = records_of(kafka_bootstrap, f"acks-{acks}")
    assert [one.value for one in found] == [b"a", b"b"]


def test_a_record_that_is_too_large_is_a_failure(produce: Produce) -> None:
    """The code is 1 whatever else was delivered."""
    produce("large", text=b"x" * 3_000_000, code=Exit.FAILED)


def test_unreadable_input_is_refused_before_anything_is_sent(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Even without a server."""
    for path, words in ((tmp_path / "none", "no such file"), (tmp_path, "is a directory")):
        assert main(["produce", "x", str(path)]) == Exit.NO_INPUT
        told = capsys.readouterr().err
        assert str(path) in told
        assert words in told


def test_an_empty_separator_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """It would split nowhere."""
    assert main(["produce", "x", "-K", ""]) == Exit.USAGE
    assert "--key-separator" in capsys.readouterr().err


def test_the_rate_is_kept_and_never_made_up_for_in_bursts() -> None:
    """100 items at 1,000 a second take a tenth of a second, whatever the clock's grain."""
    started = time.monotonic()
    assert len(list(paced(iter([b"x"] * 101), 1000))) == 101
    assert 0.09 < time.monotonic() - started < 2
    assert list(paced(iter([b"a", b"b"]), None)) == [b"a", b"b"]


def test_progress_knows_the_size_of_files_only(tmp_path: Path) -> None:
    """A pipe has no size."""
    (tmp_path / "a").write_bytes(b"x" * 7)
    reading, writing = os.pipe()
    with open_input(str(tmp_path / "a")) as file, open(reading, "rb") as pipe:
        os.close(writing)
        assert input_bytes([file, file]) == 14
        assert input_bytes([file, pipe]) is None


def test_a_line_without_end_is_refused(tmp_path: Path) -> None:
    """Somebody pointed us at a disk image: sparse zeros, no newline."""
    with (tmp_path / "image").open("wb") as image:
        image.truncate(LINE_BYTES_MAX + 10)
    with open_input(str(tmp_path / "image")) as file:
        inputs: Sequence[Any] = [file]
        with pytest.raises(CommandError, match="longer than"):
            list(lines(inputs))
