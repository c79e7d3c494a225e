"""Compacted topics refuse records without a key, which only the inside of a batch tells.

Compaction keeps the last record of each key: one without a key could never be kept or dropped with
reason. So batches for topics whose `cleanup.policy` holds `compact` are walked record by record
before they are appended; no other batch is (README, "What is not checked").

What that costs others is bounded. A short batch without compression is walked where it lies and
appended at once. All other batches are copied, since a frame is valid during its request only, and
held:

    held -> decompressed, in a helper (the codecs release the interpreter lock)
         -> walked, on the loop, a slice a turn
         -> judged: appended or refused, once every batch before it in its partition was

Order. `Partition.held` is the queue of a partition: what arrives later, from whatever connection,
waits behind what is held, and is appended or refused in the order of arrival. Everything that
depends on that order (sequences of idempotent producers, LogAppendTime, a disk that filled up
meanwhile) is asked of `append_batch` when the turn comes. A request is answered when its last
held batch is settled; its place in the order of answers was reserved when it came.

Bounds. Decompression stops at `decompressed_bytes_max`, and no more than `UNPACKED_MAX` outputs
exist. Held batches count against `queued.max.request.bytes`, all together, and beyond it a batch
is refused with a code that makes producers try again; long before that its connection is not read
any more (`Peer.hold`).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from logserver.broker.batch_checks import CODEC_MASK, FINE, diagnose, whole_batch
from logserver.broker.produce import ACKS_ALL, HELD, ProduceWaiter, append_batch, refused_row
from logwire import errors
from logwire.batch import ATTRIBUTES_POSITION, HEADER_BYTES, RECORD_COUNT_POSITION
from logwire.compression import OutputTooLarge, decompress
from logwire.errors import ProtocolError
from logwire.produce_codec import TOPIC_IDS_FROM, RecordErrors, encode_produce_response
from logwire.walk import SLICE_STEPS, NullKeys, walk_keys

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.partition import Partition
    from logserver.broker.peer import Peer
    from logserver.broker.produce import Outcome
    from logserver.storage.maintenance import Chore

logger = logging.getLogger(__name__)

MIB = 1 << 20
# What a batch may grow to. Telemetry shrinks five to thirty times; Kafka, which decompresses as it
# walks, has no bound, and a megabyte of zstd can keep it busy for gigabytes. The code is Kafka's
# for a batch that is too large: its producers split the batch and try the halves.
DECOMPRESSED_RATIO = 16
DECOMPRESSED_BYTES_MIN = 16 * MIB
DECOMPRESSED_BYTES_MAX = 128 * MIB  # our consumer takes no more either (logwire.batch)
# Decompressed outputs that exist at once: one is walked while the helper makes the next.
UNPACKED_MAX = 2
# What a held batch costs beside its bytes: a queue of tiny batches is bounded too.
HELD_OVERHEAD_BYTES = 1024
# What appending a batch costs, in steps of a walk: so many for each, and one for so many bytes.
APPEND_STEPS = 10
APPEND_STEP_BYTES = 1024

Refused = tuple[int, str | RecordErrors | None]


def decompressed_bytes_max(partition: Partition) -> int:
    """How large the records of one batch for this partition may be, decompressed."""
    wanted = DECOMPRESSED_RATIO * partition.config.max_message_bytes
    return max(DECOMPRESSED_BYTES_MIN, min(wanted, DECOMPRESSED_BYTES_MAX))


class HeldBatch:
    """A copied batch on its way into a partition.

    `records` is the section to walk once it is there, `walk` the walk once it began, `refused` what
    is wrong with the batch. `unpacking`: from the helper's start until its output is let go;
    `judged`: nothing but its turn is missing.
    """

    __slots__ = (
        "batch",
        "codec",
        "found",
        "judged",
        "partition",
        "record_count",
        "records",
        "refused",
        "request",
        "unpacking",
        "walk",
    )

    def __init__(self, partition: Partition, batch: memoryview, codec: int, count: int) -> None:
        self.partition = partition
        self.batch = bytearray(batch)
        self.codec = codec
        self.record_count = count
        self.records: memoryview | bytes | None = None
        if not codec:
            self.records = memoryview(self.batch)[HEADER_BYTES:]
        self.found = NullKeys()
        self.walk: Iterator[None] | None = None
        self.refused: Refused = FINE
        self.judged = False
        self.unpacking = False
        self.request: HeldRequest | None = None

    @property
    def held_bytes(self) -> int:
        """What it counts against the bound."""
        return len(self.batch) + HELD_OVERHEAD_BYTES

    def decompress(self) -> bytes | Refused:
        """The records section, or why there is none. Runs in a helper and changes nothing."""
        view = memoryview(self.batch)[HEADER_BYTES:]
        try:
            return decompress(self.codec, view, decompressed_bytes_max(self.partition))
        except OutputTooLarge as error:
            return errors.MESSAGE_TOO_LARGE, str(error)
        except ProtocolError as error:
            return errors.INVALID_RECORD, str(error)
        except Exception:  # a library's surprise must not end the helper for everybody
            logger.exception("a codec failed on a batch for %s", self.partition.name)
            return errors.INVALID_RECORD, "the records cannot be decompressed"

    def step(self) -> bool:
        """Walk one slice; True when the batch is judged."""
        if self.walk is None:
            assert self.records is not None
            self.walk = walk_keys(self.records, self.record_count, self.found)
        try:
            next(self.walk)
        except StopIteration:
            self.refused = _judge(self.partition, self.found)
        except ProtocolError as error:
            self.refused = errors.INVALID_RECORD, str(error)
        else:
            return False
        return True


def _judge_at_once(partition: Partition, batch: memoryview, record_count: int) -> Refused | None:
    """The judgement on a plain batch, or None if that would take more than a slice."""
    if record_count > SLICE_STEPS:
        return None
    found = NullKeys()
    try:
        for _ in walk_keys(batch[HEADER_BYTES:], record_count, found):
            return None  # thousands of headers
    except ProtocolError as error:
        return errors.INVALID_RECORD, str(error)
    return _judge(partition, found)


def _judge(partition: Partition, found: NullKeys) -> Refused:
    if not found.count:
        return FINE
    where = f"{partition.name}-{partition.index}"
    sentence = f"Compacted topic cannot accept message without key in topic partition {where}"
    plural = "record has" if found.count == 1 else "records have"
    message = f"{found.count} {plural} no key, the first at index {found.indexes[0]}: {sentence}"
    rows = [(index, sentence) for index in found.indexes]
    return errors.INVALID_RECORD, RecordErrors(message, rows)


class HeldRequest:
    """A Produce request some of whose batches are held; the rest of its answer is known.

    `batches` are the rows of `results` with the code HELD, in order. `durable` says that another
    batch of the request was appended to a durable partition.
    """

    __slots__ = (
        "_acks",
        "_correlation_id",
        "_durable",
        "_held_bytes",
        "_peer",
        "_places",
        "_reply",
        "_results",
        "version",
    )

    def __init__(
        self,
        peer: Peer,
        version: int,
        correlation_id: int,
        acks: int,
        results: list[Any],
        batches: list[HeldBatch],
        durable: bool,
    ) -> None:
        self.version = version
        self._peer = peer
        self._correlation_id = correlation_id
        self._acks = acks
        self._results = results
        self._durable = durable
        self._reply = peer.reserve() if acks else None
        places = [
            (rows, at) for _, rows in results for at, row in enumerate(rows) if row[1] == HELD
        ]
        # Where the row of each batch stands: (rows of a topic, position).
        self._places = dict(zip(batches, places, strict=True))
        for batch in batches:
            batch.request = self
        self._held_bytes = sum(batch.held_bytes for batch in batches)
        peer.hold(self._held_bytes)

    @property
    def unknown(self) -> int:
        """The code for a partition that is not there any more."""
        by_id = self.version >= TOPIC_IDS_FROM
        return errors.UNKNOWN_TOPIC_ID if by_id else errors.UNKNOWN_TOPIC_OR_PARTITION

    def settle(self, broker: Broker, batch: HeldBatch, outcome: Outcome) -> None:
        """The row of one batch; the last one answers."""
        rows, at = self._places.pop(batch)
        index = rows[at][0]
        code, offset, append_ms = outcome
        if code:
            rows[at] = refused_row(broker, index, code)
        else:
            partition = batch.partition
            self._durable = self._durable or partition.durable
            rows[at] = (index, 0, offset, append_ms, partition.log.log_start_offset, None)
        if not self._places:
            self._peer.release(self._held_bytes)
            self._answer(broker)

    def _answer(self, broker: Broker) -> None:
        if self._reply is None:
            if any(row[1] for _, rows in self._results for row in rows):
                self._peer.close_after_refusal()
            return
        results = self._results
        frame = encode_produce_response(self.version, self._correlation_id, results)
        waiter = ProduceWaiter(self._reply, frame, self.version, self._correlation_id, results)
        if self._durable and self._acks == ACKS_ALL:
            broker.commit.waiting.append(waiter)
        else:
            waiter.synced()


class KeyChecks:
    """All held batches of a broker, and what is to be done about them.

    `fresh` are batches of the request that is being handled; `held_count` and `held_bytes` count
    batches that are not settled. While there are any, the server runs `decompressions` and calls
    `advance` as long as it is `due`.
    """

    __slots__ = (
        "_broker",
        "_packed",
        "_ready",
        "_unpacked_count",
        "_walking",
        "fresh",
        "held_bytes",
        "held_count",
    )

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._packed: deque[HeldBatch] = deque()
        self._walking: deque[HeldBatch] = deque()
        self._ready: deque[Partition] = deque()  # the first held batch of these is judged
        self._unpacked_count = 0
        self.fresh: list[HeldBatch] = []
        self.held_count = 0
        self.held_bytes = 0

    # From Produce.

    def append(self, partition: Partition, records: memoryview, now_ms: int) -> Outcome:
        """As `produce.append_batch`, for a partition whose batches may have to wait.

        The code HELD says that this one does: `hold` must follow with the rows of the request.
        """
        broker = self._broker
        batch, refused = whole_batch(records)
        if batch is None:
            return self._refuse(refused)
        refused = diagnose(partition, batch, now_ms)
        if refused[0]:
            return self._refuse(refused)
        if not broker.writable:
            return self._refuse((errors.KAFKA_STORAGE_ERROR, broker.unwritable_reason))
        codec = batch[ATTRIBUTES_POSITION + 1] & CODEC_MASK
        count = int.from_bytes(batch[RECORD_COUNT_POSITION:HEADER_BYTES], "big")
        if not (partition.held or codec):
            judgement = _judge_at_once(partition, batch, count)
            if judgement is not None:
                if judgement[0]:
                    return self._refuse(judgement)
                return append_batch(broker, partition, batch, now_ms)
        held = HeldBatch(partition, batch, codec, count)
        if self.held_bytes + held.held_bytes > broker.config.queued_max_request_bytes:
            # Every client tries again after this code, whatever it thinks of its first try.
            return self._refuse(
                (errors.REQUEST_TIMED_OUT, "too many batches wait for their check: try again")
            )
        self._queue(held)
        return HELD, -1, -1

    def _refuse(self, refused: Refused) -> Outcome:
        code, self._broker.refusal_message = refused
        return code, -1, -1

    def _queue(self, batch: HeldBatch) -> None:
        partition = batch.partition
        assert partition.held is not None
        self.held_bytes += batch.held_bytes
        self.held_count += 1
        partition.held.append(batch)
        self.fresh.append(batch)
        if not partition.config.compacts:
            # The policy was changed while others wait: this one waits for its turn only.
            self._judged(batch)
        elif batch.codec:
            self._packed.append(batch)
        else:
            self._walking.append(batch)

    def hold(
        self,
        peer: Peer,
        version: int,
        correlation_id: int,
        acks: int,
        results: list[Any],
        durable: bool,
    ) -> None:
        """Answer this request, of which the fresh batches are, when they are settled."""
        fresh, self.fresh = self.fresh, []
        HeldRequest(peer, version, correlation_id, acks, results, fresh, durable)

    # From the server.

    def decompressions(self) -> list[Chore]:
        """What a helper should do now, as (run, finish) pairs."""
        chores: list[Chore] = []
        while self._packed and self._unpacked_count < UNPACKED_MAX:
            self._unpacked_count += 1
            batch = self._packed.popleft()
            batch.unpacking = True
            chores.append((batch.decompress, partial(self._decompressed, batch)))
        return chores

    def _decompressed(self, batch: HeldBatch, result: Any) -> None:
        if batch.judged:  # its topic was deleted meanwhile
            self._let_go(batch)
        elif isinstance(result, bytes):
            batch.records = result
            self._walking.append(batch)
        else:
            batch.refused = result
            self._judged(batch)

    @property
    def due(self) -> bool:
        """Whether `advance` has something to do."""
        return bool(self._ready or self._walking)

    def advance(self, now_ms: int) -> None:
        """Walk and append for about a millisecond; what is left is due in a later turn."""
        steps = SLICE_STEPS
        while steps > 0:
            if self._ready:
                steps -= self._settle_first(self._ready[0], now_ms)
            elif self._walking:
                batch = self._walking[0]
                steps -= batch.record_count
                if not batch.step():
                    return
                self._walking.popleft()
                self._judged(batch)
            else:
                return

    def _judged(self, batch: HeldBatch) -> None:
        """The batch may be settled, once all before it in its partition are."""
        batch.judged = True
        self._let_go(batch)
        held = batch.partition.held
        if held and held[0] is batch:
            self._ready.append(batch.partition)

    def _let_go(self, batch: HeldBatch) -> None:
        batch.walk = batch.records = None
        if batch.unpacking:
            batch.unpacking = False
            self._unpacked_count -= 1

    def _settle_first(self, partition: Partition, now_ms: int) -> int:
        """Append or refuse the first held batch of a partition; what that cost, in steps."""
        held = partition.held
        assert held
        batch = held.popleft()
        if not held and not partition.config.compacts:
            partition.held = None
        if not (held and held[0].judged):
            self._ready.popleft()
        if batch.refused[0]:
            outcome = self._refuse(batch.refused)
        else:
            outcome = append_batch(self._broker, partition, memoryview(batch.batch), now_ms)
        self._settle(batch, outcome)
        return APPEND_STEPS + len(batch.batch) // APPEND_STEP_BYTES

    def _settle(self, batch: HeldBatch, outcome: Outcome) -> None:
        self.held_count -= 1
        self.held_bytes -= batch.held_bytes
        assert batch.request is not None
        batch.request.settle(self._broker, batch, outcome)

    def forget(self, partition: Partition) -> None:
        """The partition is deleted: what waits for it is refused."""
        held, partition.held = partition.held, None
        if not held:
            return
        for waiting in (self._packed, self._walking):
            kept = [batch for batch in waiting if batch.partition is not partition]
            waiting.clear()
            waiting.extend(kept)
        if partition in self._ready:
            self._ready.remove(partition)
        for batch in held:
            batch.judged = True
            if batch.records is not None:
                self._let_go(batch)  # what a helper works on is let go when it comes back
            assert batch.request is not None
            self._settle(batch, (batch.request.unknown, -1, -1))
