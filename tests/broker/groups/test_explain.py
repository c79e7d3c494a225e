"""What is told of groups: documents and series, from a broker with a group of two partitions."""

from __future__ import annotations

import json
import math

import pytest

from logserver.broker.groups.effects import Note
from logserver.broker.groups.explain import (
    explain_groups,
    explain_lag,
    group_figures,
    group_label,
    group_series,
)
from logserver.statistics.layout import GROUP_METRICS
from tests.broker.groups.lag_bench import LagBench
from tests.broker.groups.offsets_bench import GROUP, TOPIC

WINDOW_ROUNDS = 13


@pytest.fixture
def bench() -> LagBench:
    """Thirty records in partition 0, five of them read; partition 1 is empty."""
    bench = LagBench()
    bench.commit({0: 5, 1: 0})
    bench.round()
    return bench


def test_a_group_is_explained_in_a_document(bench: LagBench) -> None:
    """How far behind it is, what to call that, and why it rebalanced."""
    coordinator, now = bench.coordinator, bench.broker.coordinators.now(bench.now_ms)
    group = coordinator.groups[GROUP]
    coordinator.perform(group, [Note("a member joins", "member-1", 3)], now)
    bench.round(WINDOW_ROUNDS)
    (document,) = explain_groups(bench.broker, bench.now_ms)
    assert json.loads(json.dumps(document)) == document
    assert document == {
        "cluster_id": bench.broker.cluster_id,
        "group": GROUP,
        "type": "classic",
        "protocol_type": "",
        "state": "Empty",
        "lag_count": 25,
        "lag_ms": bench.age_ms(5),
        "status": "stalled",
        "drain_ms": None,
        "partitions_count": 2,
        "stalled_count": 1,
        "slow_count": 0,
        "left_out_count": 0,
        "rebalances_count": 1,
        "rebalances": [
            {
                "time_ms": now.wall_ms,
                "reason": "a member joins",
                "member_id": "member-1",
                "client_id": "",
                "client_host": "",
                "generation": 3,
            }
        ],
    }


def test_a_partition_is_explained_in_a_document(bench: LagBench) -> None:
    """Speed is null before a window is over."""
    document, other = explain_lag(bench.broker, bench.now_ms)
    expected = {
        "group": GROUP,
        "topic": TOPIC,
        "partition": 0,
        "committed_offset": 5,
        "log_start_offset": 0,
        "log_end_offset": 30,
        "lag_count": 25,
        "lag_ms": bench.age_ms(5),
        "status": None,
        "drain_ms": None,
        "committed_per_s": None,
        "appended_per_s": None,
        "removed_count": 0,
    }
    assert document == expected
    assert (other["partition"], other["lag_ms"], other["status"]) == (1, 0, "current")
    bench.round(WINDOW_ROUNDS - 2)
    bench.commit({0: 18})
    bench.round()
    document, _ = explain_lag(bench.broker, bench.now_ms)
    assert (document["status"], document["drain_ms"]) == ("draining", round(12 * 60_000 / 13))
    assert (document["committed_per_s"], document["appended_per_s"]) == (0.217, 0.0)


def test_a_group_that_was_not_looked_at_has_no_status(bench: LagBench) -> None:
    """It will have one in a few seconds."""
    bench.commit({2: 7}, group_id="new")
    (document,) = explain_groups(bench.broker, bench.now_ms, ["new"])
    (known,) = explain_groups(bench.broker, bench.now_ms, [GROUP])
    assert document.keys() == known.keys()
    assert (document["status"], document["lag_count"]) == (None, 0)
    assert list(explain_lag(bench.broker, bench.now_ms, ["new"])) == []


def test_a_group_without_room_says_so() -> None:
    """How many of its partitions nobody watches."""
    bench = LagBench({"logserver.group.lag.partitions.max": "1"})
    bench.commit({0: 5, 1: 0})
    bench.round()
    bench.commit({0: 5, 1: 0, 2: 0}, group_id="late")
    bench.round()
    found = {one["group"]: one for one in explain_groups(bench.broker, bench.now_ms)}
    assert (found[GROUP]["partitions_count"], found[GROUP]["left_out_count"]) == (1, 1)
    assert (found["late"]["partitions_count"], found["late"]["left_out_count"]) == (0, 3)


def test_groups_may_be_named(bench: LagBench) -> None:
    """Others are left out, and one that is not there is not told."""
    bench.commit({0: 1}, group_id="another")
    bench.round()

    def groups(*names: str) -> list[str]:
        return [one["group"] for one in explain_groups(bench.broker, bench.now_ms, names)]

    def lag(*names: str) -> list[tuple[str, int]]:
        rows = explain_lag(bench.broker, bench.now_ms, names)
        return [(one["group"], one["partition"]) for one in rows]

    assert sorted(groups()) == ["another", GROUP]
    assert groups("another", "another") == ["another"]
    assert groups("nobody") == []
    assert lag("nobody") == []
    assert lag(GROUP) == [(GROUP, 0), (GROUP, 1)]
    assert len(lag()) == 3


def test_an_iteration_survives_what_happens_meanwhile(bench: LagBench) -> None:
    """The loop gets its turn between two documents: groups go, others come."""
    bench.commit({0: 1}, group_id="another")
    bench.round()
    documents = explain_groups(bench.broker, bench.now_ms)
    rows = explain_lag(bench.broker, bench.now_ms)
    series = group_series(bench.broker, bench.now_ms)
    for one in (documents, rows, series):
        next(one)
    for name in (GROUP, "another"):
        bench.call(42, 2, {"groups_names": [name]})
    bench.round(2)
    bench.commit({0: 1}, group_id="third")
    for one in (documents, rows, series):
        list(one)


def test_groups_are_shown_as_series(bench: LagBench) -> None:
    """With the labels of the table; no seconds where the time is not known, +Inf for never."""
    names = {metric.key: metric.labels for metric in GROUP_METRICS}
    bench.round(WINDOW_ROUNDS)
    rows = list(group_series(bench.broker, bench.now_ms))
    assert {key for key, _, _ in rows} == set(names)
    assert all(len(labels) == len(names[key]) for key, _, labels in rows)
    found = {(key, labels): value for key, value, labels in rows}
    assert found["stalled_partitions", (GROUP,)] == 1
    assert found["drain_seconds", (GROUP,)] == math.inf
    assert found["lag_records", (GROUP, TOPIC, "0")] == 25
    assert found["lag_seconds", (GROUP, TOPIC, "0")] == bench.age_ms(5) / 1000
    assert found["lag_seconds", (GROUP, TOPIC, "1")] == 0
    assert found["committed_offset", (GROUP, TOPIC, "0")] == 5
    bench.progress().found(5, -1)
    assert len(list(group_series(bench.broker, bench.now_ms))) == len(rows) - 1


def test_labels_are_clean_and_stay_apart() -> None:
    """Clients choose the ids of groups."""
    assert group_label("orders \u00fc") == "orders \u00fc"
    assert group_label("a\nb\x1f").startswith("a?b?~")
    long = ["c" * 400 + end for end in ("", "d", "e")]
    assert len({group_label(one) for one in long}) == 3
    assert all(len(group_label(one)) == 209 for one in long)


def test_sums_are_told_for_the_page(bench: LagBench) -> None:
    """Groups, offsets, rebalances, and what is watched."""
    assert group_figures(bench.broker) == {
        "groups": 1,
        "committed_offsets": 2,
        "rebalances": 0,
        "group_partitions_watched": 2,
        "group_partitions_left_out": 0,
        "group_round_ms": 0,
    }
