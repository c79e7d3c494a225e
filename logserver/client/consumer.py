"""The consumer: records of assigned partitions, in order, from wherever one wants to begin.

    from logserver.client import Consumer, Timestamp

    with Consumer("127.0.0.1:9092", "telemetry", start=Timestamp(1763000000000)) as consumer:
        for record in consumer:
            print(record.partition, record.offset, record.key, record.value)

There is no group and nothing is committed: the caller owns its positions (`positions()`). Records
of one partition come in offset order; between partitions there is no order.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Literal, NamedTuple, Self

from logserver.client.cluster import Cluster, closing_on_error
from logserver.client.connection import REQUEST_TIMEOUT_MS, Address, Connection
from logserver.client.failure import ClientError, refusal
from logserver.client.fetcher import (
    Assigned,
    FetchedBatch,
    Fetcher,
    FetchSettings,
    OutOfRange,
)
from logserver.client.offsets import BEGINNING, END, list_offsets
from logwire.batch import CONTROL, decode_batch
from logwire.errors import UNKNOWN_TOPIC_OR_PARTITION, ProtocolError


class Timestamp(NamedTuple):
    """A place to begin: the first record at or after this time, ms since 1970."""

    timestamp_ms: int


Start = Literal["beginning", "end"] | int | Timestamp


class ConsumerRecord(NamedTuple):
    """One record and where it was. `timestamp_ms` counts from 1970, -1 is none."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class Consumer:
    """Reads `topics` from the servers behind `bootstrap` (`host:port,...`). One thread at a time.

    partitions            of the one topic given; all of each topic by default
    start                 "beginning", "end", an offset or a `Timestamp`; or one per partition
    stop_at_end           end the iteration at what was the end of the log at the start
    on_out_of_range       "error" raises `OffsetOutOfRange`; "beginning" and "end" go on there
    max_wait_ms           how long the server may hold an answer back for `min_bytes`
    partition_max_bytes   of one answer and partition; a larger batch still comes whole
    prefetch_bytes        nothing more is asked for while this much waits for the caller
    retry_timeout_ms      an unreachable leader becomes an error after this long

    Connects and finds the starting offsets at once. Raises `ClientError` "connect", "refused".
    """

    def __init__(
        self,
        bootstrap: str,
        topics: str | Sequence[str],
        *,
        partitions: Sequence[int] | None = None,
        start: Start | Mapping[int, Start] = "end",
        stop_at_end: bool = False,
        on_out_of_range: OutOfRange = "error",
        max_wait_ms: int = 500,
        min_bytes: int = 1,
        fetch_max_bytes: int = 16 << 20,
        partition_max_bytes: int = 2 << 20,
        prefetch_bytes: int = 16 << 20,
        request_timeout_ms: int = REQUEST_TIMEOUT_MS,
        retry_timeout_ms: int = 60_000,
        client_id: str = "logserver-consumer",
    ) -> None:
        names = [topics] if isinstance(topics, str) else list(topics)
        if partitions is not None and len(names) != 1:
            raise ValueError("partitions belong to one topic")

        def connect(address: Address) -> Connection:
            return Connection(address, client_id=client_id, request_timeout_ms=request_timeout_ms)

        settings = FetchSettings(
            max_wait_ms=max_wait_ms,
            min_bytes=min_bytes,
            fetch_max_bytes=fetch_max_bytes,
            partition_max_bytes=partition_max_bytes,
            prefetch_bytes=prefetch_bytes,
            request_timeout_ms=request_timeout_ms,
            retry_timeout_ms=retry_timeout_ms,
            on_out_of_range=on_out_of_range,
        )
        self._settings = settings
        self._data = Cluster(bootstrap, connect)
        self._questions = Cluster(bootstrap, connect)
        self._fetcher = Fetcher(self._data, settings, self._locate)
        self._current: Iterator[ConsumerRecord] = iter(())
        self._stop_offsets: dict[tuple[str, int], int] = {}
        with closing_on_error(self._data), closing_on_error(self._questions):
            for name in names:
                self._assign(name, partitions, start, stop_at_end)
        # One that is dropped without close(), as after a loop to the end, leaves no open socket.
        self._finalizer = weakref.finalize(self, _close, self._data, self._questions)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; what was fetched and not consumed is forgotten."""
        self._finalizer()

    def __iter__(self) -> Iterator[ConsumerRecord]:
        """All records as they come, for ever, or up to the end with `stop_at_end`.

        Raises `ClientError` when a partition cannot be read on ("corrupt", "refused",
        `OffsetOutOfRange`, or what kept its leader away); `seek` clears that.
        """
        while True:
            # Not `yield from`: it would close the batch's iterator when a caller breaks off.
            for record in self._current:  # noqa: UP028
                yield record
            batch = self._next_batch(None)
            if batch is None:
                return
            self._current = self._records(batch)

    def poll(self, timeout_ms: float = 1000, records_max: int = 1000) -> list[ConsumerRecord]:
        """What is there, at most `records_max`; waits up to `timeout_ms` for the first.

        Raises as iteration does. With `stop_at_end`, `is_finished` tells the end from a pause.
        """
        deadline_s = time.monotonic() + timeout_ms / 1000
        records = list(islice(self._current, records_max))
        while len(records) < records_max:
            # What there is comes first: a failure is raised by a call that has nothing to return.
            batch = self._fetcher.take() if records else self._next_batch(deadline_s)
            if batch is None:
                break
            self._current = self._records(batch)
            records += islice(self._current, records_max - len(records))
        return records

    @property
    def is_finished(self) -> bool:
        """Whether a consumer with `stop_at_end` has handed out all records."""
        stops = self._stop_offsets
        assigned = self._fetcher.assigned
        return bool(stops) and all(
            assigned[key].consumed_offset >= stop for key, stop in stops.items()
        )

    def positions(self) -> dict[tuple[str, int], int]:
        """Per (topic, partition) the offset of the next record that will be handed out."""
        items = sorted(self._fetcher.assigned.items())
        return {key: assigned.consumed_offset for key, assigned in items}

    def lag(self) -> int:
        """Records between the positions and the ends, as far as the last answers told."""
        return sum(
            max(0, assigned.high_watermark - assigned.consumed_offset)
            for assigned in self._fetcher.assigned.values()
        )

    def seek(self, start: Start, *, partition: int | None = None, topic: str | None = None) -> None:
        """Go on from another place, in all assigned partitions or some."""
        for (name, index), assigned in list(self._fetcher.assigned.items()):
            if (topic is None or topic == name) and (partition is None or partition == index):
                assigned.seek(self._offsets(name, {index: start})[index])

    def statistics(self) -> dict[str, int]:
        """Counters since the start, and what waits for the caller."""
        fetcher = self._fetcher
        return {
            "requests_count": fetcher.requests_count,
            "received_bytes": fetcher.received_bytes,
            "buffered_bytes": fetcher.buffered_bytes,
        }

    def _assign(
        self,
        topic: str,
        partitions: Sequence[int] | None,
        start: Start | Mapping[int, Start],
        stop_at_end: bool,
    ) -> None:
        known = self._data.topic(topic, timeout_ms=self._settings.request_timeout_ms).leaders
        wanted = sorted(known) if partitions is None else list(partitions)
        for index in wanted:
            if index not in known:
                raise refusal(f"read {topic}-{index}", UNKNOWN_TOPIC_OR_PARTITION)
        starts = {
            index: start.get(index, "end") if isinstance(start, Mapping) else start
            for index in wanted
        }
        ends = self._offsets(topic, dict.fromkeys(wanted, "end")) if stop_at_end else {}
        for index, offset in self._offsets(topic, starts).items():
            self._fetcher.assigned[topic, index] = Assigned(topic, index, offset)
            if stop_at_end:
                self._stop_offsets[topic, index] = ends[index]

    def _offsets(self, topic: str, starts: Mapping[int, Start]) -> dict[int, int]:
        """Where `starts` are; a time after the newest record is the end."""
        offsets = {index: start for index, start in starts.items() if isinstance(start, int)}
        asked = {
            index: _timestamp(start)
            for index, start in starts.items()
            if not isinstance(start, int)
        }
        late = []
        for index, found in self._list_offsets(topic, asked).items():
            offsets[index] = found
            if found < 0:
                late.append(index)
        offsets |= self._list_offsets(topic, dict.fromkeys(late, END))
        return offsets

    def _list_offsets(self, topic: str, timestamps_ms: Mapping[int, int]) -> dict[int, int]:
        if not timestamps_ms:
            return {}
        timeout_ms = self._settings.request_timeout_ms
        found = list_offsets(self._questions, topic, timestamps_ms, timeout_ms=timeout_ms)
        return {index: place.offset for index, place in found.items()}

    def _locate(self, assigned: Assigned) -> tuple[int, int]:
        index = assigned.partition
        start = self._list_offsets(assigned.topic, {index: BEGINNING})[index]
        return start, self._list_offsets(assigned.topic, {index: END})[index]

    def _next_batch(self, deadline_s: float | None) -> FetchedBatch | None:
        """The next batch; None at the deadline (None: never) or at the end with `stop_at_end`."""
        fetcher = self._fetcher
        is_late = False
        while True:
            batch = fetcher.take()
            if batch is not None:
                return batch
            for assigned in fetcher.assigned.values():
                if assigned.failure is not None:
                    raise assigned.failure
            if is_late or self.is_finished:
                return None
            now_s = time.monotonic()
            is_late = deadline_s is not None and now_s >= deadline_s  # after one look, even at once
            fetcher.wait(now_s + 1.0 if deadline_s is None else deadline_s)

    def _records(self, batch: FetchedBatch) -> Iterator[ConsumerRecord]:
        """Records of a batch from the position on, unless a seek intervenes."""
        assigned, generation, header, data = batch
        topic, partition = assigned.topic, assigned.partition
        stop_offset = self._stop_offsets.get((topic, partition), 1 << 63)
        new = tuple.__new__
        try:
            for record in () if header.attributes & CONTROL else decode_batch(data):
                offset = record[0]
                if offset < assigned.consumed_offset:
                    continue
                if offset >= stop_offset:
                    break
                assigned.consumed_offset = offset + 1
                yield new(ConsumerRecord, (topic, partition, *record))
                if assigned.generation != generation:
                    return
        except ProtocolError as error:
            message = f"{assigned} at offset {assigned.consumed_offset}: {error}"
            assigned.failure = ClientError("corrupt", message)
            return
        if assigned.generation == generation:
            # Not beyond the end: a group would commit what nobody was given.
            next_offset = min(header.base_offset + header.last_offset_delta + 1, stop_offset)
            assigned.consumed_offset = max(assigned.consumed_offset, next_offset)


def _timestamp(start: Start) -> int:
    if isinstance(start, Timestamp):
        return start.timestamp_ms
    if start in ("beginning", "end"):
        return BEGINNING if start == "beginning" else END
    raise ValueError(f"start {start!r} is no offset, Timestamp, beginning or end")


def _close(*clusters: Cluster) -> None:
    for cluster in clusters:
        cluster.close()
