"""logserver.cli.group_reset: the plan, and what is set when it is executed."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from logserver.cli import main
from logserver.cli.exits import Exit
from logserver.client import Admin, Producer
from tests.client.scripted_broker import ScriptedBroker
from tests.client.scripted_group import ScriptedGroup

Reset = Callable[..., Any]
NOW_MS = 1_763_000_000_000


@pytest.fixture
def names(kafka_bootstrap: str) -> tuple[str, str]:
    """A topic with ten records in each of two partitions, a second apart, of which the first three
    are trimmed; a group that stands at 5 and 8."""
    topic, group = f"reset-{uuid.uuid4().hex[:8]}", f"g-{uuid.uuid4().hex[:8]}"
    with Admin(kafka_bootstrap) as admin:
        admin.create_topic(topic, partitions=2)
        with Producer(kafka_bootstrap) as producer:
            for index in range(20):
                at_ms = NOW_MS + 1000 * (index // 2)
                producer.send(topic, b"%d" % index, partition=index % 2, timestamp_ms=at_ms)
        admin.delete_records(topic, {0: 3, 1: 3})
        admin.groups.commit(group, {(topic, 0): 5, (topic, 1): 8})
    return topic, group


@pytest.fixture
def reset(kafka_bootstrap: str, capsys: pytest.CaptureFixture[str]) -> Reset:
    """Run `group reset-offsets --json`: partition -> (committed, new)."""

    def run(group: str, *words: str) -> dict[int, tuple[int | None, int]]:
        command = ["group", "reset-offsets", group, *words, "--bootstrap", kafka_bootstrap]
        assert main([*command, "--json"]) == Exit.OK
        document = json.loads(capsys.readouterr().out)
        assert document["executed"] == ("--execute" in words)
        return {
            row["partition"]: (row["committed_offset"], row["new_offset"])
            for row in document["partitions"]
        }

    return run


def committed(bootstrap: str, group: str) -> list[int]:
    with Admin(bootstrap) as admin:
        return [one.offset for one in admin.groups.committed(group).values()]


@pytest.mark.parametrize(
    ("words", "new"),
    [
        (("--to", "beginning"), [3, 3]),
        (("--to", "end"), [10, 10]),
        (("--to", "7"), [7, 7]),
        (("--to", "0"), [3, 3]),
        (("--to", "99"), [10, 10]),
        (("--to", f"@{NOW_MS + 4500}"), [5, 5]),
        (("--to", "2025-11-13T02:13:26Z"), [6, 6]),
        (("--to", f"@{NOW_MS + 99_000}"), [10, 10]),
        (("--shift-by", "-1"), [4, 7]),
        (("--shift-by", "3"), [8, 10]),
        (("--shift-by", "-100"), [3, 3]),
    ],
)
def test_a_place_becomes_an_offset_within_the_log(
    kafka_bootstrap: str,
    reset: Reset,
    names: tuple[str, str],
    words: tuple[str, ...],
    new: list[int],
) -> None:
    """Planned, nothing changed; executed, exactly that."""
    _, group = names
    plan = {0: (5, new[0]), 1: (8, new[1])}
    assert reset(group, *words) == plan
    assert committed(kafka_bootstrap, group) == [5, 8]
    assert reset(group, *words, "--execute") == plan
    assert committed(kafka_bootstrap, group) == new


def test_only_some_partitions_of_a_topic_are_set(
    kafka_bootstrap: str, reset: Reset, names: tuple[str, str]
) -> None:
    """Those that are named."""
    topic, group = names
    assert reset(group, "--topic", topic, "-p", "1", "--to", "4", "--execute") == {1: (8, 4)}
    assert committed(kafka_bootstrap, group) == [5, 4]


def test_a_group_that_is_not_there_can_be_given_offsets_of_a_topic(
    kafka_bootstrap: str, reset: Reset, names: tuple[str, str]
) -> None:
    """Before its consumers are first started."""
    topic, group = names
    plan = {0: (None, 10), 1: (None, 10)}
    assert reset(f"{group}-new", "--topic", topic, "--to", "end", "--execute") == plan
    assert committed(kafka_bootstrap, f"{group}-new") == [10, 10]
    assert reset(f"{group}-new2", "--topic", topic, "--shift-by", "2") == {
        0: (None, 5),
        1: (None, 5),
    }


def test_people_see_a_table_and_that_nothing_was_changed(
    kafka_bootstrap: str, names: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Or what was set."""
    topic, group = names
    words = ["group", "reset-offsets", group, "--to", "5", "--bootstrap", kafka_bootstrap]
    assert main(words) == Exit.OK
    told = capsys.readouterr()
    assert [line.split() for line in told.out.splitlines()] == [
        ["TOPIC", "PARTITION", "COMMITTED", "NEW", "CHANGE", "LOG", "START", "LOG", "END"],
        [topic, "0", "5", "5", "0", "3", "10"],
        [topic, "1", "8", "5", "-3", "3", "10"],
    ]
    assert told.err == "\nplan only, nothing was changed; add --execute to do it\n"
    assert main([*words, "--execute"]) == Exit.OK
    assert capsys.readouterr().out.endswith(f"\nset 1 partition of {group}\n")


def test_a_group_with_members_is_planned_for_and_not_set(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """They would go on where they are, and overwrite it with their next commit."""
    with ScriptedBroker() as broker:
        group = ScriptedGroup(broker)
        group.committed = {0: 0}
        members = [{"member_id": name, "client_host": "/h"} for name in ("a", "b")]
        row = {"group_id": "g", "group_state": "Stable", "members": members}
        broker.answers[69] = lambda _: {"groups": [row]}
        broker.answers[9] = lambda _: {
            "groups": [
                {
                    "group_id": "g",
                    "topics": [
                        {"name": "t", "partitions": [{"committed_offset": 0, "metadata": ""}]}
                    ],
                }
            ]
        }
        words = ["group", "reset-offsets", "g", "--to", "end", "--bootstrap", broker.bootstrap]
        assert main(words) == Exit.OK
        assert "stop the 2 members of g first" in capsys.readouterr().err
        assert main([*words, "--execute"]) == Exit.FAILED
        assert "group g has 2 members. Stop its consumers first" in capsys.readouterr().err
        assert group.commits == []


def test_a_group_without_offsets_needs_a_topic(
    kafka_bootstrap: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And one that is not there as well."""
    words = ["group", "reset-offsets", "nobody", "--to", "end", "--bootstrap", kafka_bootstrap]
    assert main(words) == Exit.FAILED
    assert "GROUP_ID_NOT_FOUND" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "either --to or --shift-by"),
        (("--to", "end", "--shift-by", "1"), "either --to or --shift-by"),
        (("--to", "yesterday"), "'yesterday' is not an offset"),
        (("--to", "end", "-p", "1"), "--partition belongs to one --topic"),
        (("--to", "end", "-p", "1", "--topic", "a", "--topic", "b"), "belongs to one --topic"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused(
    words: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before any server is asked."""
    assert main(["group", "reset-offsets", "g", *words]) == Exit.USAGE
    assert complaint in capsys.readouterr().err
