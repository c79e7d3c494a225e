"""Fetch: from offsets to file slices; and waiting, when there is too little yet.

The rule of this file: no byte of a record is touched. A fetch becomes, per partition, a
`FileSlice` of whole batches below the high watermark, and the connection sends it with
`sendfile`. The first partition that has records gives at least one batch even when that is
larger than every limit (KIP-74), so that no consumer can be stuck.

Waiting. A fetch that found less than `min_bytes` is parked on its partitions until a high
watermark moves or `max_wait_ms` has passed. It gives its slices back while it waits: nothing is
held for a client that does not read.

read_committed equals read_uncommitted until transactions exist: the last stable offset is the
high watermark.
"""

from __future__ import annotations

import heapq
import logging
from typing import TYPE_CHECKING, Any, cast

from logserver.broker.sessions import (
    FINAL_EPOCH,
    INITIAL_EPOCH,
    NO_SESSION,
    FetchSession,
    TopicKey,
    Topics,
    Wanted,
)
from logserver.storage.file_slice import FileSlice
from logserver.storage.log import OffsetOutOfRange
from logserver.storage.segment import CorruptSegmentError
from logwire import errors
from logwire.fetch_codec import TOPIC_IDS_FROM, decode_fetch, fetch_response_parts

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.partition import Partition
    from logserver.broker.peer import Answer, Peer, Reply

logger = logging.getLogger(__name__)

# A longer wait is answered early and empty, which every client takes as "nothing yet": a parked
# request of a client that has gone away must not live for the 24 days an int32 can ask for.
WAIT_MS_MAX = 60_000
# Partitions in all parked fetches together, some 250 bytes each. Past it a fetch is answered with
# what there is. Ten thousand consumers of a hundred partitions each may wait.
PARKED_PARTITIONS_MAX = 1_000_000
# Answered fetches that the heap of deadlines may hold beside as many as it has waiting ones.
ANSWERED_COUNT_MAX = 1000

NO_ROUTE: dict[int, Partition] = {}

# (error code, high watermark, log start offset, slice)
Reading = tuple[int, int, int, FileSlice | None]


class FetchRequest:
    """What one Fetch asks for, from its decoding until its answer has been given."""

    __slots__ = (
        "correlation_id",
        "deadline_ms",
        "incremental",
        "max_bytes",
        "min_bytes",
        "session",
        "version",
        "wanted",
    )

    def __init__(self, version: int, correlation_id: int, min_bytes: int, max_bytes: int) -> None:
        self.version = version
        self.correlation_id = correlation_id
        self.min_bytes = min_bytes
        self.max_bytes = max_bytes
        self.deadline_ms = 0
        self.session: FetchSession | None = None
        self.incremental = False
        self.wanted: list[Wanted] = []


class ParkedFetch:
    """A fetch that waits on the high watermarks of its partitions."""

    __slots__ = ("_broker", "partitions", "reply", "request")

    def __init__(
        self, broker: Broker, reply: Reply, request: FetchRequest, partitions: list[Partition]
    ) -> None:
        self._broker = broker
        self.reply = reply
        self.request = request
        self.partitions = partitions
        for partition in partitions:
            partition.parked[self] = None
        broker.counters.fetches_parked += 1
        broker.waits.park(self)
        reply.on_close = self.leave

    def leave(self) -> None:
        """Wait no longer; leaves no trace in any partition, and nothing but a shell in the heap."""
        for partition in self.partitions:
            partition.parked.pop(self, None)
        waits = self._broker.waits
        waits.waiting_count -= 1
        waits.wanted_count -= len(self.partitions)
        self._broker.counters.fetches_parked -= 1
        self.reply.on_close = None
        self.partitions = []
        del self.reply, self.request


class FetchWaits:
    """Every parked fetch by its deadline, in the time of `Broker.uptime_ms`.

    `deadlines` is a heap of (deadline in ms, order, parked). A fetch that was answered before
    stays in it until its deadline has come or half of the heap is of its kind: leaving costs
    nothing, and a client that waits a minute a thousand times a second costs no memory.
    """

    __slots__ = ("_sequence", "deadlines", "waiting_count", "wanted_count")

    def __init__(self) -> None:
        self.deadlines: list[tuple[int, int, ParkedFetch]] = []
        self.waiting_count = 0
        self.wanted_count = 0
        self._sequence = 0

    def park(self, parked: ParkedFetch) -> None:
        """Remember the deadline of a parked fetch."""
        self._sequence += 1
        self.waiting_count += 1
        self.wanted_count += len(parked.partitions)
        entry = (parked.request.deadline_ms, self._sequence, parked)
        heapq.heappush(self.deadlines, entry)
        if len(self.deadlines) > 2 * self.waiting_count + ANSWERED_COUNT_MAX:
            self.deadlines = [entry for entry in self.deadlines if entry[2].partitions]
            heapq.heapify(self.deadlines)

    def expire(self, broker: Broker, uptime_ms: int) -> None:
        """Answer every parked fetch whose time has come with what there is."""
        deadlines = self.deadlines
        while deadlines and (deadlines[0][0] <= uptime_ms or not deadlines[0][2].partitions):
            parked = heapq.heappop(deadlines)[2]
            if parked.partitions:
                look_again(broker, parked, patient=False)

    def expire_all(self, broker: Broker) -> None:
        """Answer every parked fetch now: the server stops."""
        for _, _, parked in sorted(self.deadlines):
            if parked.partitions:
                look_again(broker, parked, patient=False)
        self.deadlines.clear()


def handle_fetch(
    broker: Broker,
    peer: Peer,
    version: int,
    correlation_id: int,
    frame: memoryview,
    position: int,
) -> Answer:
    """Answer a Fetch request (API key 1, versions 4 to 18), or park it.

    Returns the parts of the response frame, or None when the request waits for records.
    """
    (max_wait_ms, min_bytes, max_bytes, _isolation, session_id, session_epoch, topics,
     forgotten, _rack) = decode_fetch(version, frame, position)  # fmt: skip
    broker.counters.requests[1] += 1
    if session_epoch == FINAL_EPOCH and len(topics) == 1 and len(topics[0][1]) == 1:
        # What a replaying consumer sends, without a session: one partition, read at once.
        topic, (asked,) = topics[0]
        partition = broker.routes.get(topic, NO_ROUTE).get(asked[0])
        if partition is not None and session_id == NO_SESSION:
            limit_bytes = min(asked[5], max_bytes, broker.config.fetch_max_bytes)
            code, high, start, piece = read_partition(
                partition, asked[2], asked[1], limit_bytes, True
            )
            if piece is not None:
                if piece.size_bytes >= min_bytes or max_wait_ms <= 0:
                    peer.activity.fetches = topics
                    broker.counters.fetched_bytes += piece.size_bytes
                    row = (asked[0], code, high, high, start, piece)
                    parts = fetch_response_parts(
                        version, correlation_id, 0, NO_SESSION, [(topic, [row])]
                    )
                    return cast("Answer", parts)
                piece.release()
    max_bytes = min(max_bytes, broker.config.fetch_max_bytes)
    # As Kafka: nobody waits for more than the answer may hold.
    request = FetchRequest(version, correlation_id, min(min_bytes, max_bytes), max_bytes)
    if session_epoch in (INITIAL_EPOCH, FINAL_EPOCH):
        _begin(broker, request, session_id, session_epoch, topics)
        peer.activity.fetches = request.session or topics
    else:
        code = _resume(broker, request, session_id, session_epoch, topics, forgotten)
        if code:
            broker.counters.count_error(code)
            return _parts(request, code, NO_SESSION, [])
    enough, readings = read_all(broker, request)
    parked_count = broker.waits.wanted_count + len(request.wanted)
    if enough or max_wait_ms <= 0 or not request.wanted or parked_count > PARKED_PARTITIONS_MAX:
        return answer_of(broker, request, readings)
    _give_back(readings)
    request.deadline_ms = broker.uptime_ms + min(max_wait_ms, WAIT_MS_MAX)
    _park(broker, peer.reserve(), request)
    return None


def _begin(
    broker: Broker, request: FetchRequest, session_id: int, epoch: int, topics: Topics
) -> None:
    """A full request: with a new session (epoch 0) or without one (epoch -1)."""
    sessions = broker.sessions
    if session_id != NO_SESSION:
        sessions.remove(session_id)
    if epoch != FINAL_EPOCH and topics:
        by_id = request.version >= TOPIC_IDS_FROM
        request.session = sessions.create(broker.uptime_ms, topics, by_id=by_id)
    if request.session is not None:
        request.wanted = list(request.session.wanted.values())
    else:
        # Named twice is asked once, as in Kafka: a request must not multiply its own work.
        request.wanted = list(
            {
                (topic, asked[0]): Wanted(topic, asked)
                for topic, partitions in topics
                for asked in partitions
            }.values()
        )


def _resume(
    broker: Broker,
    request: FetchRequest,
    session_id: int,
    epoch: int,
    topics: Topics,
    forgotten: list[tuple[TopicKey, list[int]]],
) -> int:
    """An incremental request; the error code, if the session does not go on."""
    sessions = broker.sessions
    by_id = request.version >= TOPIC_IDS_FROM
    session = sessions.resume(session_id, epoch, broker.uptime_ms, by_id=by_id)
    if isinstance(session, int):
        return session
    if (topics or forgotten) and not sessions.change(session, topics, forgotten):
        return errors.FETCH_SESSION_ID_NOT_FOUND
    request.session = session
    request.incremental = True
    request.wanted = list(session.wanted.values())
    return errors.NONE


def _park(broker: Broker, reply: Reply, request: FetchRequest) -> None:
    routes = broker.routes
    partitions = [routes[wanted.topic][wanted.index] for wanted in request.wanted]
    ParkedFetch(broker, reply, request, partitions)


def read_all(broker: Broker, request: FetchRequest) -> tuple[bool, list[Reading]]:
    """Read every wanted partition: (enough to answer now, one reading per wanted)."""
    routes = broker.routes
    left_bytes = request.max_bytes
    total_bytes = 0
    at_once = False
    readings: list[Reading] = []
    for wanted in request.wanted:
        route = routes.get(wanted.topic)
        partition = None if route is None else route.get(wanted.index)
        if partition is None:
            code = errors.UNKNOWN_TOPIC_OR_PARTITION
            if route is None and request.version >= 13:
                code = errors.UNKNOWN_TOPIC_ID
            readings.append((code, -1, -1, None))
            at_once = True
            continue
        reading = read_partition(
            partition,
            wanted.fetch_offset,
            wanted.current_leader_epoch,
            min(left_bytes, wanted.max_bytes),
            total_bytes == 0,
        )
        readings.append(reading)
        piece = reading[3]
        if reading[0]:
            at_once = True
        elif piece is not None:
            total_bytes += piece.size_bytes
            left_bytes -= piece.size_bytes
            if piece.segment is not partition.log.active:
                at_once = True  # as Kafka: this segment will not grow, there is no point in waiting
    return at_once or total_bytes >= request.min_bytes, readings


def read_partition(
    partition: Partition, offset: int, epoch: int, max_bytes: int, minimum_one: bool
) -> Reading:
    """One partition's part of an answer. `minimum_one` gives a batch larger than the limit.

    `epoch` is the leader epoch that the client knows, -1 for none.
    """
    log = partition.log
    high_watermark = partition.high_watermark
    if epoch >= 0 and epoch != log.leader_epoch:
        older = epoch < log.leader_epoch
        code = errors.FENCED_LEADER_EPOCH if older else errors.UNKNOWN_LEADER_EPOCH
        return code, -1, -1, None
    if offset >= high_watermark:
        if offset > log.end_offset:
            return errors.OFFSET_OUT_OF_RANGE, -1, -1, None
        return 0, high_watermark, log.log_start_offset, None
    if max_bytes <= 0 and not minimum_one:
        return 0, high_watermark, log.log_start_offset, None
    try:
        piece = log.read(offset, max_bytes, high_watermark, minimum_one)
    except OffsetOutOfRange:
        return errors.OFFSET_OUT_OF_RANGE, -1, -1, None
    except (OSError, CorruptSegmentError) as error:
        return _unreadable(partition, error), -1, -1, None
    return 0, high_watermark, log.log_start_offset, piece


def _unreadable(partition: Partition, error: Exception) -> int:
    """The code for a partition whose bytes cannot be found; said once, not at each retry."""
    sentence = f"{partition.name}-{partition.index} cannot be read: {error}"
    if partition.unreadable != sentence:
        partition.unreadable = sentence
        logger.error("%s", sentence)
    is_corrupt = isinstance(error, CorruptSegmentError)
    return errors.CORRUPT_MESSAGE if is_corrupt else errors.KAFKA_STORAGE_ERROR


def answer_of(
    broker: Broker, request: FetchRequest, readings: list[Reading]
) -> list[bytes | FileSlice]:
    """The response frame of a fetch as bytes and slices; accounts what is sent."""
    try:
        return _answer_of(broker, request, readings)
    except BaseException:
        _give_back(readings)
        raise


def _answer_of(
    broker: Broker, request: FetchRequest, readings: list[Reading]
) -> list[bytes | FileSlice]:
    session = request.session
    wanted_all = request.wanted
    topics: list[tuple[str | bytes, list[tuple[int, int, int, int, int, FileSlice | None]]]] = []
    served: list[Wanted] = []
    sent_bytes = 0
    rows: dict[str | bytes, list[tuple[int, int, int, int, int, FileSlice | None]]] = {}
    for wanted, (code, high, start, piece) in zip(wanted_all, readings, strict=True):
        if session is not None:
            news = code or piece is not None or wanted.sent_high_watermark != high
            if request.incremental and not news and wanted.sent_log_start_offset == start:
                continue
            wanted.sent_high_watermark = high
            wanted.sent_log_start_offset = start
        if piece is not None:
            sent_bytes += piece.size_bytes
            served.append(wanted)
        elif code:
            broker.counters.count_error(code)
        row = rows.get(wanted.topic)
        if row is None:
            row = rows[wanted.topic] = []
            topics.append((wanted.topic, row))
        row.append((wanted.index, code, high, high, start, piece))
    if session is not None:
        session.to_the_end(served)
    broker.counters.fetched_bytes += sent_bytes
    session_id = NO_SESSION if session is None else session.session_id
    return _parts(request, 0, session_id, topics)


def _parts(
    request: FetchRequest, code: int, session_id: int, topics: list[Any]
) -> list[bytes | FileSlice]:
    parts = fetch_response_parts(request.version, request.correlation_id, code, session_id, topics)
    return cast("list[bytes | FileSlice]", parts)


def wake(broker: Broker, partition: Partition) -> None:
    """The high watermark of `partition` moved, or it has gone: look at who waits for it."""
    for parked in list(partition.parked):
        if parked.partitions:
            look_again(broker, parked, patient=True)


def look_again(broker: Broker, parked: ParkedFetch, *, patient: bool) -> None:
    """Answer a parked fetch if there is enough now; whatever there is, if it is not `patient`.

    It is called from somebody else's turn: what goes wrong here costs its own connection only.
    """
    request, reply = parked.request, parked.reply
    try:
        enough, readings = read_all(broker, request)
        if patient and not enough:
            _give_back(readings)
            return
        parked.leave()
        reply.complete(answer_of(broker, request, readings))
    except Exception:
        logger.exception("a parked fetch could not be answered: a bug of the server")
        if parked.partitions:
            parked.leave()
        reply.abandon()


def _give_back(readings: list[Reading]) -> None:
    for reading in readings:
        if reading[3] is not None:
            reading[3].release()
