"""The high watermark: what it follows, and that it never goes back."""

from __future__ import annotations

import pytest

from logserver.config import topic_config
from tests.broker.data_bench import RELAXED, DataBench, batch


@pytest.fixture
def bench() -> DataBench:
    """A durable topic `d` and a relaxed topic `r`."""
    bench = DataBench()
    bench.durable("d")
    bench.relaxed("r")
    return bench


def test_the_high_watermark_of_a_durable_topic_follows_the_sync(bench: DataBench) -> None:
    """Not the append."""
    partition = bench.partition("d")
    bench.send("d", batch(2), acks=1)
    assert not partition.advance()
    assert (partition.high_watermark, partition.log.end_offset) == (0, 2)
    bench.sync()
    assert partition.high_watermark == 2


def test_the_high_watermark_of_a_relaxed_topic_follows_the_append(bench: DataBench) -> None:
    """It promises the page cache and no more."""
    bench.send("r", batch(2))
    assert bench.partition("r").high_watermark == 2


def test_a_topic_that_becomes_durable_keeps_its_high_watermark(bench: DataBench) -> None:
    """What was shown is not taken back; it goes on when the durable offset has caught up."""
    bench.send("r", batch(2))
    partition = bench.partition("r")
    partition.reconfigure(topic_config(bench.config, {}))
    assert partition.durable
    assert partition.high_watermark == 2
    assert not partition.advance()


def test_after_a_restart_everything_that_recovery_kept_is_shown(bench: DataBench) -> None:
    """Recovery has synced it."""
    bench.send("r", batch(5))
    bench.restart(clean=False)
    partition = bench.partition("r")
    assert partition.high_watermark == partition.log.end_offset == 5
    assert partition.config.flush_messages == int(RELAXED)


def test_statistics_are_plain_numbers(bench: DataBench) -> None:
    """For the page and for people."""
    bench.send("r", batch(5))
    statistics = bench.partition("r").statistics()
    assert (statistics["end_offset"], statistics["high_watermark"]) == (5, 5)
    assert statistics["size_bytes"] == len(batch(5))
