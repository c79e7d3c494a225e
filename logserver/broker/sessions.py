"""Fetch sessions (KIP-227): a client names its partitions once and then only what changed.

A session is a list of wanted partitions, kept here under a random id and an epoch that both
sides count. A full request (epoch 0) makes one, an incremental request (epoch n) names only
additions and forgotten partitions, and the answer holds only partitions with something new:
records, an error, a moved high watermark or log start offset. Epoch -1 ends a session or asks
without one.

Order is fairness: partitions that gave records move to the end of their session, so that under
a small `max_bytes` each gets its turn (Kafka does the same).

The cache is bounded (`max.incremental.fetch.session.cache.slots`): a full one evicts the
session that was idle for longest, if it was idle for `EVICTION_MS` at least; otherwise the
request is simply answered without a session, which every client accepts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logwire import errors

if TYPE_CHECKING:
    from random import Random

# Kafka's min.incremental.fetch.session.eviction.ms.
EVICTION_MS = 120_000
NO_SESSION = 0
INITIAL_EPOCH = 0
FINAL_EPOCH = -1
EPOCH_MAX = 2**31 - 1

TopicKey = str | bytes
Topics = list[tuple[TopicKey, list[tuple[int, int, int, int, int, int]]]]
"""What a request wants, as `logwire.fetch_codec.decode_fetch` gives it."""

# Partitions in all sessions together, some 300 bytes each. Kafka bounds the sessions only, so that
# a client may keep any number of partitions, real or not, in the memory of the broker.
WANTED_COUNT_MAX = 200_000


class Wanted:
    """One partition that a fetch asks for; in a session also what the client was last told."""

    __slots__ = (
        "current_leader_epoch",
        "fetch_offset",
        "index",
        "max_bytes",
        "sent_high_watermark",
        "sent_log_start_offset",
        "topic",
    )

    def __init__(self, topic: TopicKey, asked: tuple[int, int, int, int, int, int]) -> None:
        self.topic = topic
        self.index = asked[0]
        self.sent_high_watermark = -1
        self.sent_log_start_offset = -1
        self.update(asked)

    def update(self, asked: tuple[int, int, int, int, int, int]) -> None:
        """Take (index, leader epoch, offset, last epoch, log start offset, max bytes) anew."""
        _, self.current_leader_epoch, self.fetch_offset, _, _, self.max_bytes = asked


class FetchSession:
    """The wanted partitions of one client, in the order of their turn."""

    __slots__ = ("by_id", "epoch", "session_id", "used_ms", "wanted")

    def __init__(self, session_id: int, now_ms: int, *, by_id: bool = False) -> None:
        self.session_id = session_id
        self.by_id = by_id
        self.epoch = INITIAL_EPOCH + 1
        self.used_ms = now_ms
        self.wanted: dict[tuple[TopicKey, int], Wanted] = {}

    def add(self, topics: Topics) -> None:
        """Add or update partitions as an incremental request names them."""
        for topic, partitions in topics:
            for asked in partitions:
                known = self.wanted.get((topic, asked[0]))
                if known is None:
                    self.wanted[topic, asked[0]] = Wanted(topic, asked)
                else:
                    known.update(asked)

    def forget(self, forgotten: list[tuple[TopicKey, list[int]]]) -> None:
        """Drop partitions that the client no longer wants."""
        for topic, indexes in forgotten:
            for index in indexes:
                self.wanted.pop((topic, index), None)

    def to_the_end(self, served: list[Wanted]) -> None:
        """Give the others their turn before those that were just served."""
        if len(self.wanted) > 1:
            for wanted in served:
                key = (wanted.topic, wanted.index)
                if self.wanted.pop(key, None) is not None:
                    self.wanted[key] = wanted


class SessionCache:
    """All fetch sessions of this broker, bounded in number and in what they want. Times are ms."""

    __slots__ = ("_random", "evicted", "sessions", "slots_max", "wanted_count")

    def __init__(self, slots_max: int, random: Random) -> None:
        self.sessions: dict[int, FetchSession] = {}
        self.slots_max = slots_max
        self.wanted_count = 0
        self.evicted = 0
        self._random = random

    def create(self, now_ms: int, topics: Topics, *, by_id: bool = False) -> FetchSession | None:
        """A new session that wants `topics`, or None when the cache is full of sessions in use."""
        count = sum(len(partitions) for _, partitions in topics)
        while len(self.sessions) >= self.slots_max or self.wanted_count + count > WANTED_COUNT_MAX:
            if not self._evict(now_ms):
                return None
        session_id = NO_SESSION
        while session_id == NO_SESSION or session_id in self.sessions:
            session_id = self._random.randrange(1, 2**31)
        session = FetchSession(session_id, now_ms, by_id=by_id)
        session.add(topics)
        self.wanted_count += len(session.wanted)
        self.sessions[session_id] = session
        return session

    def resume(
        self, session_id: int, epoch: int, now_ms: int, *, by_id: bool = False
    ) -> FetchSession | int:
        """The session an incremental request continues, or the error code it gets."""
        session = self.sessions.get(session_id)
        if session is None:
            return errors.FETCH_SESSION_ID_NOT_FOUND
        if epoch != session.epoch:
            return errors.INVALID_FETCH_SESSION_EPOCH
        if by_id != session.by_id:
            return errors.FETCH_SESSION_TOPIC_ID_ERROR
        session.epoch = 1 if epoch == EPOCH_MAX else epoch + 1
        # Oldest first, so that eviction looks at one entry.
        del self.sessions[session_id]
        self.sessions[session_id] = session
        session.used_ms = now_ms
        return session

    def change(
        self, session: FetchSession, topics: Topics, forgotten: list[tuple[TopicKey, list[int]]]
    ) -> bool:
        """Add and forget as an incremental request says; False ends a session that wants too much.

        Its client goes on without a session.
        """
        before = len(session.wanted)
        session.forget(forgotten)
        session.add(topics)
        self.wanted_count += len(session.wanted) - before
        if self.wanted_count > WANTED_COUNT_MAX:
            self.remove(session.session_id)
            return False
        return True

    def remove(self, session_id: int) -> None:
        """End a session; an unknown id is no error."""
        session = self.sessions.pop(session_id, None)
        if session is not None:
            self.wanted_count -= len(session.wanted)

    def _evict(self, now_ms: int) -> bool:
        oldest = next(iter(self.sessions.values()), None)
        if oldest is None or now_ms - oldest.used_ms < EVICTION_MS:
            return False
        self.remove(oldest.session_id)
        self.evicted += 1
        return True
