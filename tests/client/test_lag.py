"""Lag in records and in time, where logs are trimmed, compressed, empty or gone."""

from __future__ import annotations

import time
import uuid

import pytest

from logserver.client import Admin, Producer
from logserver.client.lag import PartitionLag, measure_lag, record_timestamps

HOUR_MS = 3_600_000
TIMEOUT_MS = 10_000


@pytest.fixture
def topic(kafka_bootstrap: str) -> str:
    """Two partitions; ten records in the first, in batches of five, an hour old and a second
    apart; none in the second."""
    name = f"lag-{uuid.uuid4().hex[:8]}"
    with Admin(kafka_bootstrap) as admin:
        admin.create_topic(name, partitions=2)
    now_ms = time.time_ns() // 1_000_000
    with Producer(kafka_bootstrap, compression="zstd") as producer:
        for index in range(10):
            at_ms = now_ms - HOUR_MS + 1000 * index
            producer.send(name, b"%d" % index, partition=0, timestamp_ms=at_ms)
            if index == 4:
                producer.flush()
    return name


def lags(
    bootstrap: str, topic: str, committed: dict[int, int], others: tuple[int, ...] = ()
) -> dict[int, PartitionLag]:
    with Admin(bootstrap) as admin:
        found = measure_lag(
            admin.cluster,
            {(topic, index): offset for index, offset in committed.items()},
            {(topic, index) for index in others},
            timeout_ms=TIMEOUT_MS,
        )
    return {lag.partition: lag for lag in found}


def test_a_group_that_has_read_everything_is_not_behind(kafka_bootstrap: str, topic: str) -> None:
    """Whatever the age of the last record; an empty partition is read to its end as well."""
    found = lags(kafka_bootstrap, topic, {0: 10, 1: 0})
    assert found[0] == PartitionLag(topic, 0, 10, 0, 10, 0, 0)
    assert found[1] == PartitionLag(topic, 1, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("offset", [0, 3, 5, 9])
def test_lag_in_time_is_the_age_of_the_next_unread_record(
    kafka_bootstrap: str, topic: str, offset: int
) -> None:
    """In the middle of a batch as well as at its start."""
    before_ms = time.time_ns() // 1_000_000
    lag = lags(kafka_bootstrap, topic, {0: offset})[0]
    assert lag.lag_count == 10 - offset
    assert lag.lag_ms is not None
    late_ms = lag.lag_ms - (HOUR_MS - 1000 * offset)
    spent_ms = time.time_ns() // 1_000_000 - before_ms
    assert 0 <= late_ms <= spent_ms + 60_000  # what has passed since the fixture


def test_records_that_retention_has_taken_are_not_counted(kafka_bootstrap: str, topic: str) -> None:
    """They can no longer be read: the next unread record is the first that is there."""
    with Admin(kafka_bootstrap) as admin:
        admin.delete_records(topic, {0: 7})
        stamps = record_timestamps(admin.cluster, topic, {0: 7}, timeout_ms=TIMEOUT_MS)
    lag = lags(kafka_bootstrap, topic, {0: 2})[0]
    assert (lag.committed_offset, lag.log_start_offset, lag.lag_count) == (2, 7, 3)
    now_ms = time.time_ns() // 1_000_000
    assert lag.lag_ms is not None
    assert stamps[0] is not None
    assert lag.lag_ms <= now_ms - stamps[0] < HOUR_MS


def test_a_partition_without_a_commit_has_a_log_and_no_lag(
    kafka_bootstrap: str, topic: str
) -> None:
    """A member reads it, and nobody knows how far."""
    lag = lags(kafka_bootstrap, topic, {}, (0,))[0]
    assert lag == PartitionLag(topic, 0, None, 0, 10, None, None)


def test_a_partition_that_is_gone_has_an_offset_and_nothing_else(kafka_bootstrap: str) -> None:
    """The topic was deleted, the offset has not expired yet."""
    lag = lags(kafka_bootstrap, "never-there", {0: 5})[0]
    assert lag == PartitionLag("never-there", 0, 5, None, None, None, None)


def test_a_partition_that_the_topic_does_not_have_is_gone_too(
    kafka_bootstrap: str, topic: str
) -> None:
    """A topic of that name was made anew with fewer of them."""
    found = lags(kafka_bootstrap, topic, {1: 0, 9: 5})
    assert found[9] == PartitionLag(topic, 9, 5, None, None, None, None)
    assert found[1].log_end_offset == 0


def test_an_offset_beyond_the_end_is_no_lag(kafka_bootstrap: str, topic: str) -> None:
    """The log is not what it was; a consumer will find out, an operator sees the two offsets."""
    lag = lags(kafka_bootstrap, topic, {0: 99})[0]
    assert (lag.lag_count, lag.lag_ms) == (0, 0)


def test_a_record_that_is_gone_when_it_is_asked_for_has_no_timestamp(
    kafka_bootstrap: str, topic: str
) -> None:
    """Retention may pass by between two questions."""
    with Admin(kafka_bootstrap) as admin:
        admin.delete_records(topic, {0: 3})
        found = record_timestamps(admin.cluster, topic, {0: 1, 1: 0}, timeout_ms=TIMEOUT_MS)
    assert found == {0: None, 1: None}
