"""logserver.cli.verify: a sound directory is told in a line, a damaged one by what is damaged."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from logserver.cli import main
from logserver.cli.exits import Exit
from logserver.cli.verify import finding_line
from logserver.client import Producer
from logserver.storage.verify import Finding
from tests.server_process import ServerProcess


@pytest.fixture
def data_dir(server: ServerProcess) -> Path:
    """The directory of a running server with some records."""
    with Producer(server.bootstrap) as producer:
        for number in range(100):
            producer.send("readings", b"value %d" % number).result()
    return server.data_dir


def test_a_sound_directory_passes_while_it_is_served_and_after(
    data_dir: Path, server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing needs to be stopped for it."""
    assert main(["verify", str(data_dir)]) == Exit.OK
    assert "nothing wrong (2 partitions, " in capsys.readouterr().out
    assert server.stop() == 0
    assert main(["verify", str(data_dir), "--json"]) == Exit.OK
    (report,) = json.loads(capsys.readouterr().out)
    assert report["directory"] == str(data_dir)
    assert report["findings"] == []
    assert report["read_bytes"] > 0


def test_a_flipped_bit_is_found_with_its_file_and_place(
    data_dir: Path, server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    """Code 1; the line begins as compilers' lines do."""
    assert server.stop() == 0
    log = next((data_dir / "readings-0").glob("*.log"))
    damaged = bytearray(log.read_bytes())
    damaged[-1] ^= 1
    log.write_bytes(damaged)
    assert main(["verify", str(data_dir)]) == Exit.FAILED
    told = capsys.readouterr()
    assert told.out.startswith(f"{log}")
    assert "checksum" in told.out
    assert "finding" in told.err
    assert main(["verify", str(data_dir), "--json"]) == Exit.FAILED
    (report,) = json.loads(capsys.readouterr().out)
    assert report["findings"][0]["path"] == str(log)


@pytest.mark.parametrize("name", ["none", "empty", "file"])
def test_what_is_no_data_directory_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Not found, foreign, or a file."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    assert main(["verify", str(tmp_path / name)]) == Exit.NO_INPUT
    assert str(tmp_path / name) in capsys.readouterr().err


def test_findings_are_written_as_compilers_write_theirs() -> None:
    """Without a position where the whole file is meant; without anything that steers a terminal."""
    assert finding_line(Finding("crc", "a/b.log", 7, "no")) == "a/b.log:7: crc: no"
    assert finding_line(Finding("mark", "m", -1, "a\x1b")) == "m: mark: a\\x1b"


def test_the_process_can_check_itself_while_it_writes(
    start_server: Callable[..., ServerProcess], capsys: pytest.CaptureFixture[str]
) -> None:
    """Rolls and appends under way are no findings."""
    server = start_server({"log.segment.bytes": "1048576"})
    with Producer(server.bootstrap) as producer:
        for turn in range(5):
            for number in range(2000):
                producer.send("busy", b"%d %d" % (turn, number) + b"x" * 400)
            assert main(["verify", str(server.data_dir)]) == Exit.OK, capsys.readouterr()
