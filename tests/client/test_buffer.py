"""The buffer counts every byte, lets callers wait in turns, and forgets nothing."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread

import pytest

from logserver.client.buffer import Batch, Buffer, Delivery, PartitionQueue
from logserver.client.failure import ClientError

RECORD = (None, b"v" * 68, (), 1)
SIZE = 100


@pytest.fixture
def buffer() -> Iterator[Buffer]:
    """Room for ten records, three to a batch."""
    made = Buffer(10 * SIZE, 400, max_block_ms=100)
    yield made
    made.release()


def append(buffer: Buffer, queue: PartitionQueue, count: int) -> list[Delivery]:
    """Append records one at a time."""
    return [buffer.append(queue, RECORD, SIZE, None) for _ in range(count)]


def take(queue: PartitionQueue) -> list[Batch]:
    """All batches of a queue, as the sender takes them."""
    batches = list(queue.pending)
    if queue.open is not None:
        batches.append(queue.open)
    queue.pending.clear()
    queue.open = None
    return batches


def test_records_fill_batches_and_batches_close(buffer: Buffer) -> None:
    """A batch never grows above its size; the one before it waits in order."""
    queue = PartitionQueue("t", 0)
    append(buffer, queue, 7)
    assert [batch.count for batch in queue.pending] == [3, 3]
    assert queue.open is not None
    assert queue.open.count == 1
    assert buffer.free_bytes == 3 * SIZE
    assert buffer.unfinished_count == 3
    assert queue in buffer.active


def test_pieces_share_batches_with_single_records(buffer: Buffer) -> None:
    """append_many says where its records went."""
    queue = PartitionQueue("t", 0)
    append(buffer, queue, 1)
    batch, first, count = buffer.append_many(queue, [RECORD, RECORD], 2 * SIZE)
    assert (batch is queue.open, first, count) == (True, 1, 2)
    other, first, count = buffer.append_many(queue, [RECORD, RECORD], 2 * SIZE)
    assert (other is queue.open, first, count) == (True, 0, 2)
    assert list(queue.pending) == [batch]


def test_completion_frees_bytes_and_tells_deliveries(buffer: Buffer) -> None:
    """Offsets count from the batch's base offset; a failure is raised."""
    queue = PartitionQueue("t", 3)
    deliveries = append(buffer, queue, 5)
    good, bad = take(queue)
    assert not deliveries[0].is_done
    with pytest.raises(ClientError, match="not delivered within 1 ms"):
        deliveries[0].result(timeout_ms=1)
    good.base_offset = 40
    good.append_time_ms = 9
    bad.error = ClientError("too_large", "too large")
    buffer.complete([good, bad])
    buffer.finish(2)
    assert [deliveries[i].result().offset for i in range(3)] == [40, 41, 42]
    assert deliveries[0].result() == ("t", 3, 40, 9)
    assert deliveries[3].error is bad.error
    with pytest.raises(ClientError, match="too large"):
        deliveries[4].result()
    assert buffer.free_bytes == buffer.capacity_bytes
    assert buffer.unfinished_count == 0


def test_a_full_buffer_is_an_error_after_max_block(buffer: Buffer) -> None:
    """And the record is not in it."""
    queue = PartitionQueue("t", 0)
    append(buffer, queue, 10)
    with pytest.raises(ClientError, match=r"stayed full for 0\.1 s") as caught:
        append(buffer, queue, 1)
    assert caught.value.kind == "buffer_full"
    assert sum(batch.count for batch in take(queue)) == 10


def test_a_waiting_caller_goes_on_when_half_is_free() -> None:
    """Not at the first free byte."""
    buffer = Buffer(10 * SIZE, 400, max_block_ms=20_000)
    queue = PartitionQueue("t", 0)
    append(buffer, queue, 10)
    waiting = Thread(target=append, args=(buffer, queue, 1))
    with buffer.lock:
        batches = take(queue)
    waiting.start()
    buffer.complete(batches[:1])
    assert waiting.is_alive()
    buffer.complete(batches[1:])
    waiting.join(10)
    assert not waiting.is_alive()
    buffer.release()


def test_closing_refuses_and_wakes(buffer: Buffer) -> None:
    """Whoever waits for space learns why there will be none."""
    queue = PartitionQueue("t", 0)
    append(buffer, queue, 10)
    told: list[str] = []

    def wait() -> None:
        try:
            append(buffer, queue, 1)
        except ClientError as error:
            told.append(error.kind)

    waiting = Thread(target=wait)
    buffer.max_block_ms = 20_000
    waiting.start()
    buffer.close()
    waiting.join(10)
    assert told == ["closed"]


def test_flushing_waits_for_everything(buffer: Buffer) -> None:
    """With nothing to wait for it returns, with something it times out or sees it done."""
    buffer.flush(1)
    queue = PartitionQueue("t", 0)
    append(buffer, queue, 2)
    with pytest.raises(ClientError, match="1 batches not delivered within 1 ms"):
        buffer.flush(1)
    flushing = Thread(target=buffer.flush, args=(None,))
    flushing.start()
    buffer.complete(take(queue))
    assert flushing.is_alive()
    buffer.finish(1)
    flushing.join(10)
    assert not flushing.is_alive()


def test_a_requeued_batch_goes_back_to_its_place() -> None:
    """Before everything younger, behind everything older, and nothing new until all is answered."""
    queue = PartitionQueue("t", 0)
    batches = [Batch(queue, ordinal) for ordinal in range(5)]
    queue.in_flight = batches[:3]
    queue.pending.extend(batches[3:])
    queue.requeue(batches[1])
    queue.requeue(batches[0])
    assert list(queue.pending) == [batches[0], batches[1], batches[3], batches[4]]
    assert queue.recovering
    assert queue.has_earlier(batches[2])
    assert not queue.has_earlier(batches[0])


def test_the_wake_up_pipe_never_blocks(buffer: Buffer) -> None:
    """A hundred thousand wake-ups nobody reads are as good as one."""
    for _ in range(100_000):
        buffer.wake()
    buffer.awake()
    buffer.awake()
