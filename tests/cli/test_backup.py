"""logserver backup, logserver restore: what a person sees of them."""

import json
from pathlib import Path

import pytest

from logserver.cli import main
from logserver.cli.exits import Exit
from logserver.client import Producer
from tests.server_process import ServerProcess


@pytest.fixture
def data_dir(server: ServerProcess) -> Path:
    """The directory of a running server with some records."""
    with Producer(server.bootstrap) as producer:
        for number in range(100):
            producer.send("readings", b"value %d" % number).result()
    return server.data_dir


def test_a_backup_and_its_restore_are_told_in_a_line(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a directory that is served meanwhile; what is restored is what was backed up."""
    copy, new = str(tmp_path / "copy"), str(tmp_path / "new")
    assert main(["backup", f"{data_dir}/", copy]) == Exit.OK
    assert capsys.readouterr().out.startswith(f"{copy}: 2 partitions, ")
    assert main(["restore", copy, "--data-dir", new, "--json"]) == Exit.OK
    document = json.loads(capsys.readouterr().out)
    assert (document["directory"], document["partitions"]) == (new, 2)
    assert (document["verified"], document["findings"]) == (True, [])
    assert main(["verify", new, copy]) == Exit.OK


def test_a_quick_backup_says_that_it_was_not_read_back(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In words and in JSON."""
    assert main(["backup", str(data_dir), str(tmp_path / "a"), "--quick"]) == Exit.OK
    assert "not read back" in capsys.readouterr().out
    words = ["backup", str(data_dir), str(tmp_path / "b"), "--quick", "--copy", "--json"]
    assert main(words) == Exit.OK
    document = json.loads(capsys.readouterr().out)
    assert (document["verified"], document["linked_bytes"]) == (False, 0)


def test_damage_in_what_was_copied_is_told(
    data_dir: Path, server: ServerProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The copy is made all the same: it may be the last there is. Exit code 1."""
    assert server.stop() == 0
    log = next((data_dir / "readings-0").glob("*.log"))
    damaged = bytearray(log.read_bytes())
    damaged[-1] ^= 1
    log.write_bytes(damaged)
    assert main(["backup", str(data_dir), str(tmp_path / "copy")]) == Exit.FAILED
    told = capsys.readouterr().out
    assert "readings-0" in told
    assert "1 finding" in told


def test_a_refusal_is_a_sentence_and_a_code(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No data directory, a target in use, a word too few."""
    assert main(["backup", str(tmp_path / "none"), str(tmp_path / "copy")]) == Exit.DATA
    assert "is no data directory" in capsys.readouterr().err
    assert main(["backup", str(data_dir), str(data_dir)]) == Exit.DATA
    assert main(["restore", str(data_dir), "--data-dir", str(data_dir.parent)]) == Exit.DATA
    assert main(["backup", str(data_dir)]) == Exit.USAGE
