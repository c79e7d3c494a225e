"""logserver.cli.topic: topics from the command line, against a real server."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from logserver.cli import main
from logserver.cli.exits import Exit

Run = Callable[..., str]


@pytest.fixture
def run(kafka_bootstrap: str, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a `topic` command that succeeds; what it printed."""

    def run_topic(*words: str, code: int = Exit.OK) -> str:
        assert main(["topic", *words, "--bootstrap", kafka_bootstrap]) == code
        told = capsys.readouterr()
        assert bool(told.err) == (code != Exit.OK), told.err
        return told.out if code == Exit.OK else told.err

    return run_topic


def as_json(run: Run, *words: str) -> Any:
    """The document of a command with --json."""
    return json.loads(run(*words, "--json"))


def test_a_topic_is_created_listed_and_described(run: Run) -> None:
    """As text for people."""
    assert run("create", "alpha", "-p", "3") == "created alpha with 3 partitions\n"
    assert any(line.split()[:2] == ["alpha", "3"] for line in run("list").splitlines())
    page = run("describe", "alpha")
    assert page.startswith("topic         alpha\n")
    assert page.count("\n  ") + page.count("\n        ") >= 3


def test_the_same_as_documents_for_programs(run: Run) -> None:
    """Every command has --json."""
    created = as_json(run, "create", "beta", "-p", "2", "-c", "retention.ms=60000")
    assert created == {"name": "beta", "partitions": 2, "created": True}
    (listed,) = [one for one in as_json(run, "list") if one["name"] == "beta"]
    assert (listed["partitions"], listed["size_bytes"], listed["internal"]) == (2, 0, False)
    described = as_json(run, "describe", "beta")
    assert described["topic_id"] == listed["topic_id"]
    assert [row["partition"] for row in described["partitions"]] == [0, 1]
    assert described["configs"] == [{"name": "retention.ms", "value": "60000", "source": "topic"}]
    assert as_json(run, "delete", "beta") == {"deleted": ["beta"]}
    assert "beta" not in [one["name"] for one in as_json(run, "list")]


def test_all_settings_are_shown_when_asked_for(run: Run) -> None:
    """With where each value comes from."""
    run("create", "gamma")
    assert "SETTING" not in run("describe", "gamma")
    page = run("describe", "gamma", "--all")
    assert "flush.messages" in page
    assert "default" in page


def test_settings_and_partitions_are_altered_together(run: Run) -> None:
    """And a setting goes back to its default."""
    run("create", "delta", "-c", "retention.ms=5000")
    told = run("alter", "delta", "-p", "4", "-c", "flush.messages=10", "-d", "retention.ms")
    assert told == "altered delta: flush.messages=10, retention.ms reset, 4 partitions\n"
    described = as_json(run, "describe", "delta")
    assert len(described["partitions"]) == 4
    assert [one["name"] for one in described["configs"]] == ["flush.messages"]


def test_creating_twice_fails_unless_one_may(run: Run) -> None:
    """--if-not-exists is for scripts that run again."""
    run("create", "epsilon", "-p", "2")
    assert "TOPIC_ALREADY_EXISTS" in run("create", "epsilon", code=Exit.FAILED)
    assert run("create", "epsilon", "--if-not-exists") == "epsilon exists with 2 partitions\n"


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["describe", "none"], "UNKNOWN_TOPIC_OR_PARTITION"),
        (["delete", "none"], "UNKNOWN_TOPIC_OR_PARTITION"),
        (["alter", "none", "-c", "flush.messages=2"], "UNKNOWN_TOPIC_OR_PARTITION"),
        (["create", "a/b"], "INVALID_TOPIC_EXCEPTION"),
        (["create", "zeta", "-c", "retention=1"], "INVALID_CONFIG"),
    ],
)
def test_a_refusal_is_one_sentence_with_kafkas_name(run: Run, words: list[str], name: str) -> None:
    """Code 1."""
    told = run(*words, code=Exit.FAILED)
    assert name in told
    assert told.count("\n") == 1


def test_nothing_to_alter_is_a_usage_error(run: Run) -> None:
    """Asked before anything is sent."""
    assert "nothing to change" in run("alter", "alpha", code=Exit.USAGE)


def test_no_topics_is_said_on_the_side(server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output stays empty for the pipe."""
    assert main(["topic", "list", "--bootstrap", server.bootstrap]) == Exit.OK
    told = capsys.readouterr()
    assert told.out == ""
    assert "no topics" in told.err
