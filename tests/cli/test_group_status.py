"""What the server tells of its groups over HTTP, and how commands do without."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from logserver.cli import main
from logserver.cli.exits import Exit
from logserver.cli.group_status import PARTITION_FIELDS
from logserver.client import Admin, GroupConsumer, Producer
from logserver.testing import Broker

WINDOW_S = 61
ROUND_S = 6


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A server whose clock can jump."""
    with Broker(tmp_path_factory.mktemp("told") / "data") as broker:
        yield broker


@pytest.fixture(scope="module")
def group(broker: Broker) -> str:
    """A group that has read two of eight records, left, and done nothing for some minutes."""
    with Admin(broker.bootstrap) as admin:
        admin.create_topic("orders", partitions=2)
    with Producer(broker.bootstrap) as producer:
        for number in range(8):
            producer.send("orders", b"%d" % number, partition=0)
    with GroupConsumer(broker.bootstrap, "billing", "orders", start="beginning") as consumer:
        for record in consumer:
            if record.offset == 2:
                break
        consumer.commit()
    for _ in range(3):
        broker.jump(WINDOW_S)
    return "billing"


def run(capsys: pytest.CaptureFixture[str], broker: Broker, *words: str) -> str:
    """A `group` command that knows where to ask; what it printed."""
    options = ["--bootstrap", broker.bootstrap, "--http", broker.http]
    assert main(["group", *words, *options]) == Exit.OK
    told = capsys.readouterr()
    assert not told.err
    return told.out


def as_json(capsys: pytest.CaptureFixture[str], broker: Broker, *words: str) -> Any:
    """The document of a command with --json."""
    return json.loads(run(capsys, broker, *words, "--json"))


def test_a_stalled_group_is_called_so(
    broker: Broker, group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the facts, for its partition, and in the list of all groups."""
    text = run(capsys, broker, "describe", group)
    facts = dict(line.split(maxsplit=1) for line in text.partition("\n\n")[0].splitlines())
    assert (facts["status"], facts["drain"]) == ("stalled", "-")
    rows = {tuple(line.split()[:2]): line.split() for line in text.splitlines()}
    assert rows["orders", "0"][-2:] == ["stalled", "-"]
    heading, *lines = run(capsys, broker, "lag").splitlines()
    assert heading.split()[-2:] == ["STATUS", "DRAIN"]
    assert [line.split()[-2:] for line in lines if line.startswith(group)] == [["stalled", "-"]]
    assert run(capsys, broker, "lag", group).splitlines()[1].split()[-2:] == ["stalled", "-"]


def test_rebalances_are_told_with_member_and_reason(
    broker: Broker, group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who came, who left; also of one that is gone."""
    text = run(capsys, broker, "describe", group)
    heading, *lines = text.split("\n\n")[-1].splitlines()
    assert heading.split() == ["REBALANCED", "EPOCH", "REASON", "CLIENT", "HOST", "MEMBER"]
    assert "a member joins" in lines[0]
    assert "a member leaves" in lines[-1]
    assert all("127.0.0.1" in line for line in lines)
    found = as_json(capsys, broker, "describe", group)["rebalances"]
    assert {one["member_id"] for one in found} == {lines[0].split()[-1]}


def test_programs_get_the_same(
    broker: Broker, group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a group and of each of its partitions."""
    document = as_json(capsys, broker, "describe", group)
    (listed,) = as_json(capsys, broker, "lag", group)
    for one in (document, listed):
        assert (one["status"], one["drain_ms"]) == ("stalled", None)
        first = one["partitions"][0]
        assert first.keys() >= set(PARTITION_FIELDS)
        assert (first["status"], first["committed_per_s"], first["appended_per_s"]) == (
            "stalled",
            0.0,
            0.0,
        )


def test_a_group_that_has_read_everything_is_current(
    broker: Broker, group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another group at the same time is not touched by it."""
    with Admin(broker.bootstrap) as admin:
        admin.groups.commit("archive", {("orders", 0): 8, ("orders", 1): 0})
    broker.jump(ROUND_S)
    (listed,) = as_json(capsys, broker, "lag", "archive")
    assert (listed["status"], listed["drain_ms"]) == ("current", 0)
    text = run(capsys, broker, "describe", "archive")
    assert "REBALANCED" not in text
    assert [one["group"] for one in as_json(capsys, broker, "lag", group)] == [group]


def test_many_groups_are_asked_for_together(
    broker: Broker, group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """More names than a request line holds: all are asked for, and only these are told."""
    names = [group] * 300
    found = as_json(capsys, broker, "lag", *names)
    assert [(one["group"], one["status"]) for one in found] == [(group, "stalled")] * 300


def test_metrics_agree(broker: Broker, group: str) -> None:
    """What the page tells is what the documents tell; it is written a few times a second."""
    broker.jump(ROUND_S)
    wanted = f'logserver_group_stalled_partitions{{group="{group}"}} 1.0\n'
    deadline, text = time.monotonic() + 20, ""
    while wanted not in text and time.monotonic() < deadline:
        with urlopen(f"http://{broker.http}/metrics") as answer:
            text = answer.read().decode()
    assert wanted in text
    assert f'logserver_group_drain_seconds{{group="{group}"}} +Inf\n' in text
    assert f'logserver_group_lag_records{{group="{group}",topic="orders",partition="0"}}' in text


@pytest.mark.parametrize("http", ["127.0.0.1:1", "itself"])
def test_who_names_an_address_hears_why_it_did_not_help(
    broker: Broker, group: str, http: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody listens there, or it is no HTTP port; the rest is told all the same."""
    address = broker.bootstrap if http == "itself" else http
    words = ["group", "lag", group, "--bootstrap", broker.bootstrap, "--http", address, "--json"]
    assert main(words) == Exit.OK
    told = capsys.readouterr()
    assert "told without status and rebalances" in told.err
    (document,) = json.loads(told.out)
    assert (document["lag_count"] > 0, document["status"]) == (True, None)


def test_another_server_is_not_believed(
    broker: Broker, group: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may well have a group of that name."""
    with Broker(tmp_path / "data") as other:
        with Admin(other.bootstrap) as admin:
            admin.create_topic("orders")
            admin.groups.commit(group, {("orders", 0): 0})
        words = ["--bootstrap", broker.bootstrap, "--http", other.http]
        assert main(["group", "describe", group, *words]) == Exit.OK
        told = capsys.readouterr()
    assert "belongs to another server" in told.err
    assert "STATUS" not in told.out


def test_nobody_hears_of_an_address_that_was_only_tried(
    broker: Broker, group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without --http: nothing on the side, nothing missed."""
    assert main(["group", "lag", group, "--bootstrap", broker.bootstrap]) == Exit.OK
    told = capsys.readouterr()
    assert (told.err, "STATUS" in told.out) == ("", False)


def test_after_a_restart_lag_is_known_and_speed_is_not(
    broker: Broker, group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The records are cold then, and a helper finds their time; a window begins anew."""
    broker.restart()
    broker.jump(ROUND_S)
    with urlopen(f"http://{broker.http}/lag?group={group}") as answer:
        first, _ = json.load(answer)
    assert first["lag_count"] > 0
    assert first["lag_ms"] >= 3 * WINDOW_S * 1000
    assert (first["status"], first["committed_per_s"]) == (None, None)
    document = as_json(capsys, broker, "describe", group)
    assert (document["status"], document["rebalances"]) == (None, [])
