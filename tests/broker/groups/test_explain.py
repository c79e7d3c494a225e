"""What is told of groups: documents and series, from a broker with a group of two partitions."""

from __future__ import annotations

import json

import pytest

from logserver.broker.groups import explain
from logserver.broker.groups.effects import Note
from logserver.broker.groups.explain import explain_groups, group_figures, lag_series
from logserver.broker.groups.lag import LOOK_MS
from tests.broker.groups.offsets_bench import GROUP, TOPIC, OffsetsBench


@pytest.fixture
def bench() -> OffsetsBench:
    """Ten records in partition 0, four of them read; partition 1 is empty."""
    bench = OffsetsBench()
    for _ in range(10):
        bench.append(TOPIC, [bench.now_ms])
    bench.sync()
    bench.commit({0: 4, 1: 0})
    bench.pass_time(LOOK_MS)
    bench.run_chores()
    return bench


def test_a_group_is_explained_in_a_document(bench: OffsetsBench) -> None:
    """With what it has read, what is left, and why it rebalanced."""
    coordinator, now = bench.coordinator, bench.broker.coordinators.now(bench.now_ms)
    group = coordinator.groups[GROUP]
    coordinator.perform(group, [Note("a member joins", "member-1", 3)], now)
    (document,) = explain_groups(bench.broker, bench.now_ms)
    assert json.loads(json.dumps(document)) == document
    partitions = document.pop("partitions")
    assert document == {
        "group_id": GROUP,
        "kind": "classic",
        "state": "Empty",
        "protocol_type": None,
        "history": [
            {
                "time_ms": bench.now_ms,
                "reason": "a member joins",
                "member_id": "member-1",
                "generation": 3,
            }
        ],
    }
    assert partitions[0] == {
        "topic": TOPIC,
        "partition": 0,
        "committed_offset": 4,
        "end_offset": 10,
        "lag_count": 6,
        "lag_ms": LOOK_MS,
        "verdict": "slow",
        "drain_ms": None,
        "consumed_per_s": 0.0,
        "produced_per_s": 0.0,
    }
    assert (partitions[1]["partition"], partitions[1]["verdict"]) == (1, "current")


def test_an_offset_that_was_not_looked_at_is_listed_without_lag(bench: OffsetsBench) -> None:
    """It will have some in a few seconds."""
    bench.commit({2: 7})
    (document,) = explain_groups(bench.broker, bench.now_ms)
    assert document["partitions"][2] == {"topic": TOPIC, "partition": 2, "committed_offset": 7}


def test_lag_is_shown_as_series(bench: OffsetsBench) -> None:
    """Records and seconds; none of the latter where the time is not known."""
    watched = bench.broker.coordinators.lag.watched[GROUP, TOPIC, 0]
    assert list(lag_series(bench.broker, bench.now_ms)) == [
        ("lag_records", 6, (GROUP, TOPIC, "0")),
        ("lag_seconds", LOOK_MS / 1000, (GROUP, TOPIC, "0")),
        ("lag_records", 0, (GROUP, TOPIC, "1")),
        ("lag_seconds", 0.0, (GROUP, TOPIC, "1")),
    ]
    watched.unread_ms = -1
    assert len(list(lag_series(bench.broker, bench.now_ms))) == 3


def test_labels_are_clean_and_series_are_bounded(
    bench: OffsetsBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients choose the ids of groups."""
    bench.commit({0: 1}, group_id="a\nb\x1f" + "c" * 400)
    bench.pass_time(LOOK_MS)
    labels = {labels[0] for _, _, labels in lag_series(bench.broker, bench.now_ms)}
    assert labels == {GROUP, "a?b?" + "c" * 251}
    monkeypatch.setattr(explain, "SERIES_PARTITIONS_MAX", 1)
    assert len({labels for _, _, labels in lag_series(bench.broker, bench.now_ms)}) == 1
    assert group_figures(bench.broker)["group_lags_hidden"] == 2


def test_sums_are_told_for_the_page(bench: OffsetsBench) -> None:
    """Groups, offsets, rebalances."""
    assert group_figures(bench.broker) == {
        "groups": 1,
        "committed_offsets": 2,
        "group_rebalances": 0,
        "group_lags_hidden": 0,
    }
