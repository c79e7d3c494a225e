"""Subscriptions by regular expression: found at once, kept up to date, never for long at a time."""

from __future__ import annotations

from random import Random

from logserver.broker.groups.consumer_regex import SLICE_PAUSE_MS
from logwire import errors
from tests.broker.groups.consumer_bench import Client, ConsumerBench, settle


def test_the_first_answer_has_the_topics_that_match() -> None:
    """And the record says which."""
    bench = ConsumerBench()
    ids = [bench.cluster.create(name, 2) for name in ("a1", "a2", "b")]
    client = Client(bench, "m", regex="a.")
    client.beat()
    assert client.owned == {ids[0]: {0, 1}, ids[1]: {0, 1}}
    assert bench.state.resolved["a."].topics == {"a1", "a2"}
    assert bench.group.subscribed("a2")
    assert not bench.group.subscribed("b")


def test_topics_that_come_and_go_are_found_a_second_later_at_a_heartbeat() -> None:
    """Together, if several come within the second."""
    bench = ConsumerBench()
    bench.cluster.create("a1", 2)
    client = Client(bench, "m", regex="a.")
    client.beat()
    bench.cluster.create("a2", 2)
    client.beat()
    assert client.count == 2
    bench.cluster.create("a3", 2)
    bench.pass_time(1000)
    client.beat()
    settle(bench, [client])
    assert (client.count, bench.state.epoch) == (6, 3)
    bench.cluster.delete("a1")
    bench.pass_time(1000)
    client.beat()
    settle(bench, [client])
    assert client.count == 4


def test_an_expression_is_looked_up_again_when_it_is_old() -> None:
    """`group.consumer.regex.refresh.interval.ms`; nothing is written where nothing changed."""
    bench = ConsumerBench(regex_refresh_interval_ms=10_000)
    bench.cluster.create("a1")
    client = Client(bench, "m", regex="a.")
    client.beat()
    started_ms = bench.group.regex_search.started_ms
    before = len(bench.records)
    bench.pass_time(10_000)
    client.beat()
    assert bench.group.regex_search.started_ms > started_ms
    assert len(bench.records) == before


def test_names_and_an_expression_together_are_both_read() -> None:
    """Each topic once."""
    bench = ConsumerBench()
    bench.cluster.create("a1", 2)
    bench.cluster.create("b", 1)
    client = Client(bench, "m", "b", "a1", regex="a.")
    client.beat()
    assert client.count == 3


def test_what_nobody_uses_any_more_is_forgotten() -> None:
    """When the last member changes its mind, or goes; another member's stays."""
    bench = ConsumerBench()
    bench.cluster.create("a1", 2)
    first, second = Client(bench, "m1", regex="a."), Client(bench, "m2", regex="a.")
    first.beat()
    second.beat()
    first.regex = "a1"
    first.beat()
    assert set(bench.state.resolved) == {"a.", "a1"}
    second.leave()
    assert set(bench.state.resolved) == {"a1"}
    first.regex, first.topics = "", ["a1"]
    first.beat()
    assert bench.state.resolved == {}
    settle(bench, [first])
    assert first.count == 2


def test_what_is_no_expression_is_refused_and_nothing_changes() -> None:
    """Also for a member that has a good one already."""
    bench = ConsumerBench()
    bench.cluster.create("a1", 2)
    asked = bench.join("m", subscribed_topic_names=None, subscribed_topic_regex="(a")
    assert asked.code == errors.INVALID_REGULAR_EXPRESSION
    assert asked["error_message"] == (
        "SubscribedTopicRegex `(a` is not a valid regular expression: missing closing )."
    )
    assert bench.group.empty
    client = Client(bench, "m", regex="a.")
    client.beat()
    code = bench.beat("m", client.epoch, subscribed_topic_regex="a(?=b)").code
    assert code == errors.INVALID_REGULAR_EXPRESSION
    assert bench.state.members["m"].topic_regex == "a."


def test_a_slow_look_up_goes_on_between_other_work() -> None:
    """The first answer has nothing; the end of the search begins an epoch by itself."""
    bench = ConsumerBench()
    random = Random(3)
    for _ in range(40):
        bench.cluster.create("".join(random.choice("ab") for _ in range(200)), 1)
    client = Client(bench, "m", regex="(a|b)*a(a|b){17}")
    client.beat()
    assert (client.count, bench.state.epoch) == (0, 1)
    assert bench.wake_ms == bench.now.uptime_ms + SLICE_PAUSE_MS
    slices = 0
    while bench.group.regex_search.search is not None:
        bench.pass_time(SLICE_PAUSE_MS)
        slices += 1
    assert slices > 1
    assert bench.state.epoch == 2
    settle(bench, [client])
    matched = [name for name in bench.cluster.topics if name[-18] == "a"]
    assert client.count == len(matched) > 0


def test_members_that_all_use_one_expression_are_balanced() -> None:
    """They read the same topics, and the assignor knows."""
    bench = ConsumerBench()
    bench.cluster.create("a1", 5)
    bench.cluster.create("a2", 4)
    clients = [Client(bench, f"m{number}", regex="a.") for number in range(3)]
    for client in clients:
        client.beat()
    settle(bench, clients)
    assert [client.count for client in clients] == [3, 3, 3]
