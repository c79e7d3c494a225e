"""logserver import: what a person sees of it."""

import json
from pathlib import Path

import pytest

from logserver.cli import main
from logserver.cli.exits import Exit
from tests.moving.kafka_bench import CLUSTER_ID, KafkaBench, batch, with_attributes


@pytest.fixture
def bench(tmp_path: Path) -> KafkaBench:
    """A stopped broker with one topic."""
    bench = KafkaBench(tmp_path / "kafka", node_id=5)
    bench.topic("t", 1, compression_type="zstd")
    bench.metadata()
    bench.partition("t", 0, {0: [batch(0, 3)], 3: [batch(3)]})
    return bench


def test_an_import_tells_what_came_and_how_to_go_on(
    bench: KafkaBench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table of topics; on the side what was left out, and the command that serves it."""
    target = tmp_path / "new"
    assert main(["import", f"{bench.path}/", "--data-dir", str(target)]) == Exit.OK
    told = capsys.readouterr()
    assert [line.split() for line in told.out.splitlines()][1][:3] == ["t", "1", "4"]
    assert "compression.type=zstd is left out" in told.err
    assert f"logserver serve --data-dir {target} --set node.id=5" in told.err


def test_json_tells_the_same(
    bench: KafkaBench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One document, and nothing beside it."""
    words = ["import", str(bench.path), "--data-dir", str(tmp_path / "new"), "--json", "--copy"]
    assert main(words) == Exit.OK
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert told.err == ""
    assert (document["cluster_id"], document["node_id"]) == (CLUSTER_ID, 5)
    assert document["linked_bytes"] == 0
    (topic,) = document["topics"]
    assert (topic["name"], topic["partitions"], topic["records"]) == ("t", 1, 4)


def test_a_refusal_is_a_sentence_and_a_code(
    bench: KafkaBench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A directory of somebody else, a target in use, a transaction."""
    new = str(tmp_path / "new")
    assert main(["import", str(tmp_path), "--data-dir", new]) == Exit.DATA
    assert "is no log directory of Kafka" in capsys.readouterr().err
    assert main(["import", str(tmp_path / "none"), "--data-dir", new]) == Exit.DATA
    assert main(["import", str(bench.path), "--data-dir", str(bench.path)]) == Exit.DATA
    assert "lies in" in capsys.readouterr().err
    (tmp_path / "full" / "of").mkdir(parents=True)
    assert main(["import", str(bench.path), "--data-dir", str(tmp_path / "full")]) == Exit.DATA
    assert "not an empty directory" in capsys.readouterr().err
    bench.partition("paid", 0, {0: [with_attributes(batch(0), 0x10)]})
    bench.topic("paid", 1)
    bench.metadata(base_offset=100)
    assert main(["import", str(bench.path), "--data-dir", new]) == Exit.DATA
    assert "--exclude paid" in capsys.readouterr().err
    assert main(["import", str(bench.path)]) == Exit.USAGE
