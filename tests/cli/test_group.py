"""logserver.cli.group: groups from the command line, against a real server."""

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from logserver.cli import main
from logserver.cli.exits import Exit
from logserver.cli.group import spans
from logserver.cli.group_status import PARTITION_FIELDS
from logserver.client import Admin, Producer
from tests.client.scripted_broker import ScriptedBroker
from tests.client.scripted_group import ScriptedGroup

Run = Callable[..., str]


@pytest.fixture
def run(kafka_bootstrap: str, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a `group` command that succeeds; what it printed."""

    def run_group(*words: str, code: int = Exit.OK) -> str:
        assert main(["group", *words, "--bootstrap", kafka_bootstrap]) == code
        told = capsys.readouterr()
        assert bool(told.err) == (code != Exit.OK), told.err
        return told.out if code == Exit.OK else told.err

    return run_group


@pytest.fixture
def names(kafka_bootstrap: str) -> tuple[str, str]:
    """A topic with four records, an hour old, in the first of three partitions; a group that has
    read one of them and nothing of the last partition."""
    topic, group = f"orders-{uuid.uuid4().hex[:8]}", f"billing-{uuid.uuid4().hex[:8]}"
    hour_ago_ms = time.time_ns() // 1_000_000 - 3_600_000
    with Admin(kafka_bootstrap) as admin:
        admin.create_topic(topic, partitions=3)
        with Producer(kafka_bootstrap) as producer:
            for index in range(4):
                producer.send(topic, b"%d" % index, partition=0, timestamp_ms=hour_ago_ms)
        admin.groups.commit(group, {(topic, 0): 1, (topic, 1): 0})
    return topic, group


def as_json(run: Run, *words: str) -> Any:
    """The document of a command with --json."""
    return json.loads(run(*words, "--json"))


def test_groups_are_listed_with_type_and_state(run: Run, names: tuple[str, str]) -> None:
    """As a table, and as a document."""
    _, group = names
    heading, *rows = run("list").splitlines()
    assert heading.split() == ["GROUP", "TYPE", "STATE", "PROTOCOL"]
    assert [group, "classic", "Empty", "-"] in [row.split() for row in rows]
    row = {"group": group, "type": "classic", "protocol_type": "", "state": "Empty"}
    assert row in as_json(run, "list")
    assert row in as_json(run, "list", "--state", "Empty", "--type", "classic")
    assert row not in as_json(run, "list", "--type", "consumer")


def test_no_groups_are_said_to_be_none(
    kafka_bootstrap: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the side: a pipe gets no rows, JSON an empty list."""
    words = ["group", "list", "--state", "PreparingRebalance", "--bootstrap", kafka_bootstrap]
    assert main(words) == Exit.OK
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "no groups\n")
    assert main([*words, "--json"]) == Exit.OK
    assert capsys.readouterr().out == "[]\n"


def test_a_group_is_described_with_its_lag(run: Run, names: tuple[str, str]) -> None:
    """Facts, then a row for each partition that it has committed."""
    topic, group = names
    lines = run("describe", group).splitlines()
    facts = dict(line.split(maxsplit=1) for line in lines[: lines.index("")])
    assert facts["group"] == group
    assert (facts["type"], facts["state"], facts["members"]) == ("classic", "Empty", "0")
    assert facts["lag"] == "3 records, 1.0 h"
    assert [line.split() for line in lines[lines.index("") + 1 :]] == [
        ["TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "BEHIND"],
        [topic, "0", "1", "4", "3", "1.0", "h"],
        [topic, "1", "0", "0", "0", "-"],
    ]


def test_a_described_group_is_a_document_too(run: Run, names: tuple[str, str]) -> None:
    """With everything that there is to know of it."""
    topic, group = names
    found = as_json(run, "describe", group)
    untold = dict.fromkeys(PARTITION_FIELDS)  # nobody listens where the HTTP port would be
    assert found["partitions"][0].pop("lag_ms") == found.pop("lag_ms") >= 3_600_000
    assert found == {
        "group": group,
        "type": "classic",
        "protocol_type": "",
        "state": "Empty",
        "epoch": -1,
        "assignor": "",
        "members": [],
        "lag_count": 3,
        "status": None,
        "drain_ms": None,
        "rebalances": None,
        "partitions": [
            {
                "topic": topic,
                "partition": 0,
                "committed_offset": 1,
                "log_start_offset": 0,
                "log_end_offset": 4,
                "lag_count": 3,
                "member_id": None,
                **untold,
            },
            {
                "topic": topic,
                "partition": 1,
                "committed_offset": 0,
                "log_start_offset": 0,
                "log_end_offset": 0,
                "lag_count": 0,
                "lag_ms": 0,
                "member_id": None,
                **untold,
            },
        ],
    }


def test_lag_is_told_for_all_groups_or_by_partition(run: Run, names: tuple[str, str]) -> None:
    """A line for each, or the partitions of those that are named."""
    topic, group = names
    heading, *rows = run("lag").splitlines()
    assert heading.split() == ["GROUP", "STATE", "PARTITIONS", "LAG", "BEHIND"]
    assert [group, "Empty", "2", "3", "1.0", "h"] in [row.split() for row in rows]
    assert run("lag", group).splitlines()[1].split() == [topic, "0", "1", "4", "3", "1.0", "h"]
    twice = run("lag", group, group).splitlines()
    assert [line for line in twice if line == group] == [group] * 2
    (document,) = as_json(run, "lag", group)
    assert (document["group"], document["lag_count"]) == (group, 3)
    assert [row["partition"] for row in document["partitions"]] == [0, 1]
    assert group in [one["group"] for one in as_json(run, "lag")]


def test_groups_that_commit_nothing_or_are_gone_are_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A share group is another matter; a group may end between two questions."""
    with ScriptedBroker() as broker:
        ScriptedGroup(broker)
        rows = [
            {"group_id": name, "group_type": kind, "protocol_type": "", "group_state": "Empty"}
            for name, kind in (("a", "share"), ("b", "classic"), ("c", "consumer"))
        ]
        broker.answers[16] = lambda _: {"groups": rows}
        broker.answers[69] = lambda asked: {
            "groups": [
                {"group_id": name, "group_state": "Empty", "error_code": 0 if name == "c" else 69}
                for name in asked["group_ids"]
            ]
        }
        broker.answers[15] = lambda _: {"groups": [{"group_id": "b", "error_code": 69}]}
        broker.answers[9] = lambda _: {"groups": [{"group_id": "c"}]}
        assert main(["group", "lag", "--bootstrap", broker.bootstrap, "--json"]) == Exit.OK
    assert [one["group"] for one in json.loads(capsys.readouterr().out)] == ["c"]


def test_groups_are_deleted_with_their_offsets(run: Run, names: tuple[str, str]) -> None:
    """And are then not there."""
    _, group = names
    assert run("delete", group) == f"deleted {group}\n"
    assert group not in run("list")
    told = run("delete", group, code=Exit.FAILED)
    assert told.startswith(f"logserver: cannot delete group {group}: GROUP_ID_NOT_FOUND")
    assert "GROUP_ID_NOT_FOUND" in run("describe", group, code=Exit.FAILED)
    assert "GROUP_ID_NOT_FOUND" in run("lag", group, code=Exit.FAILED)


def test_deleting_says_so_to_programs(run: Run, names: tuple[str, str]) -> None:
    """As a document."""
    _, group = names
    assert as_json(run, "delete", group) == {"deleted": [group]}


def test_a_server_that_is_not_there_is_another_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """69, as for every command."""
    assert main(["group", "list", "--bootstrap", "127.0.0.1:1"]) == Exit.UNAVAILABLE
    assert "cannot connect" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("partitions", "text"),
    [
        ([], ""),
        ([("a", 3)], "a 3"),
        ([("a", 0), ("a", 1), ("a", 2), ("a", 5), ("b", 1)], "a 0-2 5, b 1"),
        ([("b", 1), ("a", 1), ("a", 0)], "a 0-1, b 1"),
    ],
)
def test_partitions_are_told_as_runs(partitions: list[tuple[str, int]], text: str) -> None:
    """A member may read hundreds."""
    assert spans(partitions) == text
