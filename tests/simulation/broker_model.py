"""What the broker simulation remembers: batches, partitions, states of the metadata."""

from __future__ import annotations

from typing import NamedTuple

WINDOW_COUNT = 5  # batches of a producer that are recognised when they come again
STAMPED_BYTES = 16  # base offset, length and leader epoch: the broker's, the rest is the producer's


class Batch:
    """A batch as it was sent; `sure` once the request has returned."""

    def __init__(self, base: int, count: int, data: bytes, producer: tuple[int, int]) -> None:
        self.base = base
        self.end = base + count
        self.data = data
        self.producer_id, self.sequence = producer
        self.sure = False


class Partition:
    """What the model knows of one partition."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.promised = 0  # what acks=all has answered, or a start has found
        self.seen = 0  # what a consumer of a durable topic got
        self.cached = 0  # what a kill leaves in the page cache
        self.start = 0

    @property
    def end(self) -> int:
        """The log end offset."""
        return self.batches[-1].end if self.batches else 0

    def of_producer(self, producer_id: int) -> list[Batch]:
        """What is recognised when this producer sends it again."""
        mine = [batch for batch in self.batches if batch.producer_id == producer_id]
        return mine[-WINDOW_COUNT:]


class Topic(NamedTuple):
    """A topic in one state of the metadata; `topic_id` None: nobody has heard it yet."""

    topic_id: bytes | None
    partition_count: int
    durable: bool


State = dict[str, Topic]


def same(data: bytes, batch: Batch) -> bool:
    """Whether stored bytes are those of a batch, but for what the broker stamps."""
    return data[STAMPED_BYTES:] == batch.data[STAMPED_BYTES:]


def is_state(found: State, state: State) -> bool:
    """Whether a start found this state; of a creation nobody heard of, any id will do."""
    return found.keys() == state.keys() and all(
        topic == (state[name] if state[name].topic_id else state[name]._replace(topic_id=topic[0]))
        for name, topic in found.items()
    )
