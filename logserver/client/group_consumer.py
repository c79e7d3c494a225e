"""The consumer that shares topics with others of its group, and remembers how far it has read.

    from logserver.client import GroupConsumer

    with GroupConsumer("127.0.0.1:9092", "billing", "orders") as consumer:
        for record in consumer:
            print(record.partition, record.offset, record.value)

The partitions come from the group's coordinator (KIP-848) and may come and go while one reads. What
was handed out is committed every `commit_interval_ms`, when a partition is given up, and at the
end: a record counts as dealt with once the next one is asked for. After a crash the records behind
the last commit come again, never fewer.

There is no thread: the member says that it is alive while it is asked for records. A program that
is busy for longer than the group's session timeout (45 s) loses its partitions to others, and what
it had not committed is read again.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from typing import Final, Literal
from uuid import uuid4

from logserver.client.cluster import RETRY_BACKOFF_MS, backoff_ms
from logserver.client.connection import (
    CONSUMER_GROUP_HEARTBEAT,
    OFFSET_COMMIT,
    OFFSET_FETCH,
    REQUEST_TIMEOUT_MS,
)
from logserver.client.consumer import Consumer, ConsumerRecord, Start
from logserver.client.coordinator import GroupCoordinator, is_away
from logserver.client.failure import ClientError, is_retriable, refusal
from logserver.client.fetcher import Assigned, FetchedBatch
from logserver.client.groups import (
    TopicPartition,
    commit_codes,
    commit_request,
    fetch_codes,
    fetch_request,
    read_committed,
)
from logserver.client.membership import Membership, OwnedPartition
from logwire import errors
from logwire.messages import Message

COMMIT_INTERVAL_MS: Final = 5_000  # Kafka: auto.commit.interval.ms
REBALANCE_TIMEOUT_MS: Final = 300_000  # Kafka: max.poll.interval.ms
CLOSE_TIMEOUT_MS: Final = 5_000
"""How long the end may take: a coordinator that is away will notice by itself that we are gone."""

_NO_LONGER_A_MEMBER: Final = frozenset(
    {
        errors.UNKNOWN_MEMBER_ID,
        errors.FENCED_MEMBER_EPOCH,
        errors.STALE_MEMBER_EPOCH,
        errors.GROUP_ID_NOT_FOUND,
    }
)


class GroupConsumer(Consumer):
    """Reads `topics` as a member of `group`. One thread at a time; see `Consumer` for the rest.

    start                where to begin in a partition for which the group has committed nothing
    commit_interval_ms   how often to commit; 0 leaves it to `commit`
    instance_id          a member that is known by name: its partitions wait for its return
    stop_at_end          end at what was the end of each partition when it was assigned
    retry_timeout_ms     a coordinator that is away becomes an error after this long; until then
                         reading goes on

    Joins the group with the first call that asks for records. Raises `ClientError` "refused" when
    the coordinator does, "unsupported" when the server has no such groups.
    """

    def __init__(
        self,
        bootstrap: str,
        group: str,
        topics: str | Sequence[str],
        *,
        start: Start = "end",
        stop_at_end: bool = False,
        commit_interval_ms: int = COMMIT_INTERVAL_MS,
        instance_id: str | None = None,
        on_out_of_range: Literal["beginning", "end"] = "beginning",
        request_timeout_ms: int = REQUEST_TIMEOUT_MS,
        retry_timeout_ms: int = 60_000,
        client_id: str = "logserver-consumer",
    ) -> None:
        names = [topics] if isinstance(topics, str) else list(topics)
        super().__init__(
            bootstrap,
            (),
            on_out_of_range=on_out_of_range,
            request_timeout_ms=request_timeout_ms,
            retry_timeout_ms=retry_timeout_ms,
            client_id=client_id,
        )
        self.group = group
        self._topics = names
        self._start = start
        self._stop_at_end = stop_at_end
        self._commit_interval_ms = commit_interval_ms
        self._commit_at_s = time.monotonic() + commit_interval_ms / 1000
        self._heartbeat_at_s = 0.0
        self._away_since_s = 0.0  # 0 while the coordinator answers
        self._away_count = 0
        self._settled: dict[TopicPartition, int] = {}  # dealt with by the caller
        self._committed: dict[TopicPartition, int] = {}
        self._names: dict[OwnedPartition, TopicPartition] = {}  # of what is owned
        self._coordinator = GroupCoordinator(self._questions, group, timeout_ms=retry_timeout_ms)
        self._membership = Membership(
            group,
            names,
            member_id=str(uuid4()),
            instance_id=instance_id,
            rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
        )
        try:
            for name in names:
                self._data.topic(name, timeout_ms=request_timeout_ms)
        except BaseException:
            super().close()
            raise

    def __exit__(self, *exception: object) -> None:
        if exception[0] is None:
            self.close()
            return
        with suppress(ClientError):  # what happened first is what the caller shall hear
            self._end()

    def close(self) -> None:
        """Commit what was handed out, leave the group, close the connections.

        Raises `ClientError` when the last commit fails; all is closed then, too. A `with` block
        that ends by an exception commits only what was dealt with before.
        """
        self.settle()
        self._end()

    def _end(self) -> None:
        try:
            if self._commit_interval_ms:
                self._commit(self._settled, timeout_ms=CLOSE_TIMEOUT_MS)
        finally:
            self._leave()
            super().close()

    def __iter__(self) -> Iterator[ConsumerRecord]:
        """As the consumer's; what is due is done between two records, however long one takes."""
        for record in super().__iter__():
            yield record
            if time.monotonic() >= self._due_s():
                self.settle()
                self._keep_up()

    def poll(self, timeout_ms: float = 1000, records_max: int = 1000) -> list[ConsumerRecord]:
        """As `Consumer.poll`; what earlier calls returned counts as dealt with."""
        self.settle()
        self._keep_up()
        return super().poll(timeout_ms, records_max)

    @property
    def assignment(self) -> list[TopicPartition]:
        """The partitions that this member reads now."""
        return sorted(self._names.values())

    @property
    def is_finished(self) -> bool:
        """With `stop_at_end`: whether the member has partitions, and has read them to the end."""
        return self._membership.is_settled and super().is_finished

    def settle(self) -> None:
        """Everything handed out so far is dealt with: commits may cover it. `poll` says it too."""
        assigned = self._fetcher.assigned
        self._settled = {key: one.consumed_offset for key, one in assigned.items()}

    def commit(self) -> None:
        """Commit everything handed out so far, now.

        Raises `ClientError` "refused": UNKNOWN_MEMBER_ID and the like when the group has gone on
        without us. What was not committed is then read again, by whoever has the partition.
        """
        self.settle()
        self._commit(self._settled)

    # the group

    def _next_batch(self, deadline_s: float | None) -> FetchedBatch | None:
        """As the consumer's, with heartbeats and commits while it waits."""
        self.settle()
        while True:
            self._keep_up()
            due_s = self._due_s()
            until_s = due_s if deadline_s is None else min(deadline_s, due_s)
            batch = super()._next_batch(until_s)
            if batch is not None or self.is_finished:
                return batch
            if deadline_s is not None and time.monotonic() >= deadline_s:
                return None

    def _due_s(self) -> float:
        if not self._commit_interval_ms:
            return self._heartbeat_at_s
        return min(self._heartbeat_at_s, self._commit_at_s)

    def _keep_up(self) -> None:
        """Commit and say that we are alive, when it is time."""
        now_s = time.monotonic()
        if self._commit_interval_ms and now_s >= self._commit_at_s:
            self._commit_at_s = now_s + self._commit_interval_ms / 1000
            self._commit_if_possible()
        while now_s >= self._heartbeat_at_s:
            self._heartbeat()
            now_s = time.monotonic()

    def _heartbeat(self) -> None:
        membership = self._membership
        what = f"be a member of group {self.group}"
        try:
            answer = self._coordinator.request(
                CONSUMER_GROUP_HEARTBEAT, membership.request, _top_code, what=what, timeout_ms=0
            )
        except ClientError as error:
            self._ask_later(error)
            return
        self._away_since_s, self._away_count = 0.0, 0
        code = answer["error_code"]
        if code in _NO_LONGER_A_MEMBER and membership.is_member:
            self._lose_all()
            return
        if code:
            raise refusal(what, code, answer["error_message"])
        membership.answered(answer)
        self._heartbeat_at_s = time.monotonic() + membership.pause_ms / 1000
        self._reconcile(self._named(membership.target))

    def _ask_later(self, error: ClientError) -> None:
        """A coordinator that is away for a while keeps nobody from reading on."""
        now_s = time.monotonic()
        self._away_since_s = self._away_since_s or now_s
        away_ms = (now_s - self._away_since_s) * 1000
        if not is_away(error) or away_ms > self._settings.retry_timeout_ms:
            raise error
        self._away_count += 1
        self._heartbeat_at_s = now_s + backoff_ms(self._away_count) / 1000

    def _reconcile(self, wanted: dict[OwnedPartition, TopicPartition]) -> None:
        """Give up what is not wanted, then take what is new; the group waits to hear of either."""
        if set(wanted) == self._membership.owned:
            return
        kept = {owned: key for owned, key in self._names.items() if owned in wanted}
        if not self._give_up([key for owned, key in self._names.items() if owned not in kept]):
            return
        self._own(kept)
        try:
            self._take([key for owned, key in wanted.items() if owned not in kept])
        except ClientError as error:
            if error.code in _NO_LONGER_A_MEMBER:
                self._lose_all()
            elif is_retriable(error.code or 0):
                self._heartbeat_at_s = time.monotonic() + RETRY_BACKOFF_MS / 1000
            else:
                raise
            return
        self._own(wanted)

    def _own(self, partitions: dict[OwnedPartition, TopicPartition]) -> None:
        self._names = partitions
        self._membership.own(partitions)
        self._heartbeat_at_s = 0.0

    def _named(
        self, partitions: Collection[OwnedPartition]
    ) -> dict[OwnedPartition, TopicPartition]:
        """Partitions with the names of their topics; what no metadata knows yet is left out."""
        for attempt in range(2):
            names = {topic.topic_id: topic.name for topic in self._data.topics.values()}
            if attempt or all(topic_id in names for topic_id, _ in partitions):
                break
            self._data.refresh(self._topics)
        return {
            (topic_id, partition): (names[topic_id], partition)
            for topic_id, partition in partitions
            if topic_id in names
        }

    def _give_up(self, keys: Collection[TopicPartition]) -> bool:
        """Others will read these from what is committed here and now.

        False: the group has gone on without us, and we own nothing any more.
        """
        if self._commit_interval_ms:
            settled = {key: self._settled[key] for key in keys if key in self._settled}
            if not self._commit_or_rejoin(settled):
                return False
        self._forget(keys)
        return True

    def _forget(self, keys: Collection[TopicPartition]) -> None:
        for key in keys:
            assigned = self._fetcher.assigned.pop(key)
            assigned.seek(assigned.consumed_offset)  # what is on its way is obsolete
            self._stop_offsets.pop(key, None)
            self._settled.pop(key, None)
            self._committed.pop(key, None)

    def _lose_all(self) -> None:
        """Fenced: others may be reading our partitions already. Join again."""
        self._forget(list(self._fetcher.assigned))
        self._names = {}
        self._membership.restart()
        self._heartbeat_at_s = time.monotonic() + RETRY_BACKOFF_MS / 1000

    def _take(self, keys: Collection[TopicPartition]) -> None:
        """Read on where the group has stopped; where it has not begun, at `start`."""
        if not keys:
            return
        committed = self._fetch_committed(keys)
        positions: dict[TopicPartition, int] = {}
        ends: dict[TopicPartition, int] = {}
        for topic in {topic for topic, _ in keys}:
            indexes = [index for name, index in keys if name == topic]
            starts = {index: committed.get((topic, index), self._start) for index in indexes}
            positions |= _keyed(topic, self._offsets(topic, starts))
            if self._stop_at_end:
                ends |= _keyed(topic, self._offsets(topic, dict.fromkeys(indexes, "end")))
        # All of them or none: what was read in part nobody would know of, or give up.
        self._committed |= committed
        self._stop_offsets |= ends
        for key, offset in positions.items():
            self._fetcher.assigned[key] = Assigned(*key, offset)

    # offsets

    def _fetch_committed(self, keys: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        membership = self._membership
        what = f"read the offsets of group {self.group}"
        message = fetch_request(
            self.group, keys, member_id=membership.member_id, member_epoch=membership.epoch
        )
        answer = self._coordinator.request(OFFSET_FETCH, message, fetch_codes, what=what)
        return {key: found.offset for key, found in read_committed(answer, what).items()}

    def _commit_if_possible(self) -> None:
        """The commit by interval; a coordinator that is away gets it with the next one."""
        try:
            self._commit_or_rejoin(self._settled, timeout_ms=0)
        except ClientError as error:
            if not is_away(error):
                raise

    def _commit_or_rejoin(
        self, positions: dict[TopicPartition, int], timeout_ms: int | None = None
    ) -> bool:
        try:
            self._commit(positions, timeout_ms)
        except ClientError as error:
            if error.code not in _NO_LONGER_A_MEMBER:
                raise
            self._lose_all()
            return False
        return True

    def _commit(self, positions: dict[TopicPartition, int], timeout_ms: int | None = None) -> None:
        """Commit those positions that have moved."""
        moved = {key: at for key, at in positions.items() if self._committed.get(key) != at}
        if not moved or not self._membership.is_member:
            return
        message = commit_request(
            self.group,
            moved,
            member_id=self._membership.member_id,
            member_epoch=self._membership.epoch,
            instance_id=self._membership.instance_id,
        )
        what = f"commit offsets of group {self.group}"
        answer = self._coordinator.request(
            OFFSET_COMMIT, message, commit_codes, what=what, timeout_ms=timeout_ms
        )
        for topic in answer["topics"]:
            for row in topic["partitions"]:
                key, code = (topic["name"], row["partition_index"]), row["error_code"]
                if not code:
                    self._committed[key] = moved[key]
                elif code != errors.UNKNOWN_TOPIC_OR_PARTITION:  # deleted: nobody reads on there
                    raise refusal(f"{what} for {key[0]}-{key[1]}", code)

    def _leave(self) -> None:
        if not self._membership.may_be_known:
            return
        with suppress(ClientError):  # the coordinator will notice when heartbeats stay away
            self._coordinator.request(
                CONSUMER_GROUP_HEARTBEAT,
                self._membership.leave_request(),
                _top_code,
                what=f"leave group {self.group}",
                timeout_ms=CLOSE_TIMEOUT_MS,
            )
        self._membership.restart()


def _keyed(topic: str, offsets: dict[int, int]) -> dict[TopicPartition, int]:
    return {(topic, index): offset for index, offset in offsets.items()}


def _top_code(answer: Message) -> tuple[int]:
    return (answer["error_code"],)
