"""Sequences count, wrap and start over as Kafka's producer numbers them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from logserver.client.buffer import Batch, Buffer, PartitionQueue
from logserver.client.cluster import Cluster
from logserver.client.connection import INIT_PRODUCER_ID, METADATA
from logserver.client.upkeep import Settings, Timer, Upkeep
from logwire import errors
from logwire.batch import HEADER, BatchHeader, encode_batch, verify_batch
from tests.client.scripted_broker import ScriptedBroker

SETTINGS = Settings(
    acks=-1,
    idempotent=True,
    codec=0,
    level=None,
    linger_ms=0,
    max_in_flight=5,
    max_request_bytes=1000,
    request_timeout_ms=1000,
    delivery_timeout_ms=1000,
    retry_backoff_ms=100,
    auto_create_topics=True,
)


class Bench:
    """An upkeep with a scripted broker behind it, and a clock that is an argument."""

    def __init__(self, broker: ScriptedBroker) -> None:
        self.broker = broker
        self.buffer = Buffer(1000, 1000, 1000)
        self.cluster = Cluster(broker.bootstrap)
        self.timer = Timer()
        self.upkeep = Upkeep(self.buffer, self.cluster, SETTINGS, self.timer)
        self.queue = PartitionQueue("t", 0)
        self.buffer.active.add(self.queue)

    def batch(self, count: int) -> Batch:
        """A numbered and encoded batch at the end of the queue."""
        batch = Batch(self.queue, self.queue.next_ordinal)
        self.queue.next_ordinal += 1
        batch.count = count
        self.upkeep.number(self.queue, batch)
        producer_id, epoch = self.queue.identity or (-1, -1)
        batch.encoded = encode_batch(
            [(None, b"v", (), 1)] * count,
            producer_id=producer_id,
            producer_epoch=epoch,
            base_sequence=batch.base_sequence,
        )
        self.queue.pending.append(batch)
        return batch

    def close(self) -> None:
        """Give back what is open."""
        self.cluster.close()
        self.buffer.release()


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A bench of its own for each test."""
    with ScriptedBroker() as broker:
        made = Bench(broker)
        yield made
        made.close()


def test_sequences_count_records_and_wrap_to_zero(bench: Bench) -> None:
    """2147483647 is followed by 0 (DefaultRecordBatch.incrementSequence)."""
    assert bench.upkeep.has_identity(1.0)
    assert [bench.batch(3).base_sequence, bench.batch(2).base_sequence] == [0, 3]
    bench.queue.next_sequence = 0x7FFFFFFF - 1
    assert bench.batch(3).base_sequence == 0x7FFFFFFE
    assert bench.batch(1).base_sequence == 1


def test_starting_over_renumbers_what_is_pending(bench: Bench) -> None:
    """Under a fresh producer id, from 0, with right checksums."""
    assert bench.upkeep.has_identity(1.0)
    first, second = bench.batch(3), bench.batch(2)
    old = bench.queue.identity
    bench.queue.pending.popleft()  # it failed for good
    bench.queue.starts_over = True
    assert bench.upkeep.has_identity(2.0)
    assert not bench.queue.starts_over
    assert bench.queue.identity not in (None, old)
    assert (first.base_sequence, second.base_sequence) == (0, 0)
    assert second.encoded is not None
    header = BatchHeader._make(HEADER.unpack_from(second.encoded))
    assert (header.producer_id, header.producer_epoch) == bench.queue.identity
    assert header.base_sequence == 0
    assert verify_batch(second.encoded) is None
    assert bench.queue.next_sequence == 2


def test_other_partitions_change_over_when_nothing_of_theirs_is_in_flight(bench: Bench) -> None:
    """Until then they go on under the identity that the log knows."""
    other = PartitionQueue("t", 1)
    bench.buffer.active.add(other)
    assert bench.upkeep.has_identity(1.0)
    one, two, three = (Batch(other, ordinal) for ordinal in range(3))
    for batch in (one, two, three):
        batch.count = 5
    bench.batch(1)
    bench.upkeep.number(other, one)
    other.in_flight.append(one)
    old = other.identity
    bench.queue.starts_over = True
    assert bench.upkeep.has_identity(2.0)
    bench.upkeep.number(other, two)
    assert (other.identity, two.base_sequence) == (old, 5)
    other.in_flight.clear()
    bench.upkeep.number(other, three)
    assert other.identity != old
    assert three.base_sequence == 0


def test_a_refused_identity_is_asked_for_again_after_a_pause(bench: Bench) -> None:
    """Not before; the reason is noted on what waits."""
    refused: dict[str, Any] = {"error_code": errors.COORDINATOR_LOAD_IN_PROGRESS}
    bench.broker.answers[INIT_PRODUCER_ID] = lambda _: refused
    batch = Batch(bench.queue, 0)
    bench.queue.pending.append(batch)
    bench.timer.next_s = 1000.0
    assert not bench.upkeep.has_identity(5.0)
    assert bench.timer.next_s == pytest.approx(5.1)
    assert "COORDINATOR_LOAD_IN_PROGRESS" in str(batch.last_failure)
    del bench.broker.answers[INIT_PRODUCER_ID]
    assert not bench.upkeep.has_identity(5.05)
    assert bench.upkeep.has_identity(5.2)


def test_stale_topics_are_asked_for_until_all_have_leaders(bench: Bench) -> None:
    """A topic that is known again is forgotten here, a failing one is kept with its reason."""
    upkeep = bench.upkeep
    upkeep.stale_topics |= {"t", "gone"}
    waiting = Batch(PartitionQueue("gone", 0), 0)
    waiting.queue.pending.append(waiting)
    bench.buffer.active.add(waiting.queue)
    upkeep.refresh_metadata(1.0)
    assert upkeep.stale_topics == {"gone"}
    assert "cannot use topic gone" in str(waiting.last_failure)
    requests_count = len(bench.broker.requests)
    upkeep.refresh_metadata(1.05)
    assert len(bench.broker.requests) == requests_count
    upkeep.refresh_metadata(2.0)
    assert [key for key, _ in bench.broker.requests].count(METADATA) == 2


def test_an_unreachable_server_is_noted_and_tried_again(bench: Bench) -> None:
    """With a growing pause."""
    bench.broker.close()
    waiting = Batch(bench.queue, 0)
    bench.queue.pending.append(waiting)
    bench.upkeep.stale_topics.add("t")
    bench.upkeep.refresh_metadata(1.0)
    assert "cannot connect" in str(waiting.last_failure)
    assert bench.upkeep.retry_at_s == pytest.approx(1.1)
    bench.upkeep.refresh_metadata(2.0)
    assert bench.upkeep.retry_at_s == pytest.approx(2.2)
