"""logserver.cli.dump: every file of a data directory in words, damaged ones as far as they go."""

import json
from pathlib import Path
from typing import Any

import pytest

from logserver.cli import main
from logserver.cli.dump import is_damage, shown
from logserver.cli.exits import Exit
from logserver.client import Producer
from tests.server_process import ServerProcess


@pytest.fixture
def data_dir(server: ServerProcess) -> Path:
    """The directory of a stopped server: two batches in one topic."""
    with Producer(server.bootstrap) as producer:
        headers = (("site", b"north"),)
        producer.send("readings", b"first", key=b"pump", headers=headers).result()
        producer.send("readings", b"\xff\x00").result()
    assert server.stop() == 0
    return server.data_dir


def documents(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> list[Any]:
    """The rows of `dump --json`."""
    assert main(["dump", *words, "--json"]) == code
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_segment_is_a_table_of_its_batches(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The columns that matter."""
    (log,) = (data_dir / "readings-0").glob("*.log")
    assert main(["dump", str(log)]) == Exit.OK
    heading, columns, *rows, end = capsys.readouterr().out.split("\n")[:-1]
    assert heading == str(log)
    assert columns.split()[:4] == ["position", "size", "bytes", "base"]
    assert len(rows) == 2
    assert end == ""


def test_records_are_shown_when_asked_for(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Between their batches."""
    (log,) = (data_dir / "readings-0").glob("*.log")
    batch, record, second_batch, second = documents(capsys, str(log), "--records")
    assert (batch["base_offset"], batch["records_count"], batch["fault"]) == (0, 1, None)
    assert (record["key"], record["value"]) == ("pump", "first")
    assert record["headers"] == [["site", "north"]]
    assert second_batch["base_offset"] == 1
    assert second["value"] == "0xff00"
    assert main(["dump", str(log), "--records"]) == Exit.OK
    assert "0xff00" in capsys.readouterr().out


def test_a_directory_is_all_its_files(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of a partition, and those beside the partitions."""
    paths = {Path(row["path"]).name for row in documents(capsys, str(data_dir / "readings-0"))}
    assert {"partition.metadata", "leader-epoch-checkpoint"} <= paths
    assert any(path.endswith(".log") for path in paths)
    paths = {Path(row["path"]).name for row in documents(capsys, str(data_dir))}
    assert {"meta.properties", "durable-mark"} <= paths


def test_a_damaged_file_is_shown_and_the_code_says_so(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What could be read is there."""
    (log,) = (data_dir / "readings-0").glob("*.log")
    damaged = bytearray(log.read_bytes())
    damaged[-1] ^= 1
    log.write_bytes(damaged)
    first, second = documents(capsys, str(log), code=Exit.FAILED)
    assert first["fault"] is None
    assert "crc" in second["fault"]
    assert main(["dump", str(log)]) == Exit.FAILED
    assert "FAULT" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "words"), [("none.log", "no such file"), ("notes", "none of the")]
)
def test_what_is_no_file_of_ours_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, words: str
) -> None:
    """With the files that are."""
    (tmp_path / "notes").write_text("mine")
    assert main(["dump", str(tmp_path / name)]) == Exit.NO_INPUT
    told = capsys.readouterr().err
    assert name in told
    assert words in told


def test_files_of_others_in_a_directory_are_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only a file that was named itself is complained about."""
    (tmp_path / "notes").write_text("mine")
    assert documents(capsys, str(tmp_path)) == []


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("base_timestamp_ms", 1_700_000_000_007, "2023-11-14T22:13:20.007Z"),
        ("timestamp_ms", -1, "-"),
        ("offset", 1234, "1234"),
        ("control", True, "yes"),
        ("key", None, "-"),
        ("headers", [["a", "b"]], '[["a","b"]]'),
        ("value", "\x1b[2J", "\\x1b[2J"),
    ],
)
def test_cells_are_words_for_people(name: str, value: object, text: str) -> None:
    """Times in UTC, nothing as a dash, nothing that steers a terminal."""
    assert shown(name, value) == text


def test_damage_is_an_error_or_a_fault() -> None:
    """The two words the rows have for it."""
    assert is_damage({"error": "x"})
    assert is_damage({"fault": "crc"})
    assert not is_damage({"fault": None, "position": 0})
