"""A log beside its model: a list of batches, two numbers, and the same questions to both.

Hypothesis picks what is done and shrinks what fails to the shortest way there. The model is what
the documentation says; the log is segments, indexes, hints, helper-thread work and restarts.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from logserver.storage.file_slice import FileSlice
from logserver.storage.maintenance import Chore
from logwire.batch import decode_batch
from tests.storage.bench import Bench, Written


class LogMachine(RuleBasedStateMachine):
    """`batches`, `start` and `durable` are the model; everything else is the log's business."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[Written] = []
        self.start = 0
        self.durable = 0
        self.held: list[tuple[FileSlice, bytes]] = []
        self.chores: list[Chore] = []

    @property
    def end(self) -> int:
        """The model's log end offset."""
        return self.batches[-1].last_offset + 1 if self.batches else 0

    def between(self, offset: int, upper: int) -> list[Written]:
        """The batches that a read from `offset` may show."""
        return [b for b in self.batches if b.last_offset >= offset and b.last_offset < upper]

    @initialize(segment_bytes=st.sampled_from([300, 2000, 20_000]), interval=st.integers(0, 700))
    def begin(self, segment_bytes: int, interval: int) -> None:
        self.bench = Bench(
            segment_bytes=segment_bytes,
            index_interval_bytes=interval,
            retention_ms=-1,
            segment_ms=1000,
        )

    @rule(
        count=st.integers(1, 4),
        value_bytes=st.sampled_from([0, 10, 150, 2500]),
        timestamp_ms=st.integers(0, 3000),
        codec=st.sampled_from([0, 0, 0, 4]),
    )
    def append(self, count: int, value_bytes: int, timestamp_ms: int, codec: int) -> None:
        written = self.bench.write(count, value_bytes, timestamp_ms, codec)
        assert written.base_offset == self.end
        self.batches.append(written)

    @rule(data=st.data(), max_bytes=st.integers(1, 6000), minimum_one=st.booleans())
    def read(self, data: st.DataObject, max_bytes: int, minimum_one: bool) -> None:
        offset = data.draw(st.integers(self.start, self.end))
        uppers = [b.last_offset + 1 for b in self.batches if b.last_offset >= self.start]
        upper = data.draw(st.sampled_from([*uppers, self.end]))
        piece = self.bench.log.read(offset, max_bytes, upper, minimum_one)
        possible = self.between(offset, upper)
        if piece is None:
            assert not possible or (not minimum_one and len(possible[0].data) > max_bytes)
            return
        found = piece.read()
        shown = [b for b in possible if b.last_offset < piece.next_offset]
        assert found == b"".join(b.data for b in shown)
        assert shown
        assert len(found) <= max_bytes or (minimum_one and len(shown) == 1)
        if data.draw(st.booleans()):
            self.held.append((piece, found))
        else:
            piece.release()

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        piece, found = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        assert piece.read() == found, "held bytes changed"
        piece.release()

    @rule()
    def sync(self) -> None:
        self.bench.sync()
        self.durable = self.end

    @rule()
    def begin_chores(self) -> None:
        self.chores += self.bench.log.maintenance()

    @rule()
    def finish_chores(self) -> None:
        for run, finish in self.chores:
            finish(run())
        self.chores.clear()

    @rule()
    def roll(self) -> None:
        self.bench.log.roll(self.bench.now_ms)

    @rule(data=st.data())
    def trim(self, data: st.DataObject) -> None:
        offset = data.draw(st.integers(0, self.end))
        self.bench.log.trim(offset)
        if offset > self.start:
            self.start = offset
            self.durable = self.end if offset > self.durable else self.durable

    @rule(keep_bytes=st.integers(0, 5000))
    def retain(self, keep_bytes: int) -> None:
        old = self.bench.log.config
        self.bench.log.config = type(old)(
            segment_bytes=old.segment_bytes, retention_ms=-1, retention_bytes=keep_bytes
        )
        before = self.bench.log.size_bytes
        self.bench.log.retention(self.bench.now_ms)
        self.bench.log.config = old
        assert self.bench.log.size_bytes >= min(before, keep_bytes)
        assert self.start <= self.bench.log.log_start_offset <= self.durable
        self.start = self.bench.log.log_start_offset

    @rule(clean=st.booleans())
    def reopen(self, clean: bool) -> None:
        self.finish_chores()
        for piece, _ in self.held:
            piece.release()
        self.held.clear()
        self.bench.reopen(clean=clean)
        self.durable = self.end
        if not clean:
            self.start = self.bench.log.log_start_offset  # a drop may not have been made durable

    @rule(timestamp_ms=st.integers(-1, 3010))
    def find_time(self, timestamp_ms: int) -> None:
        records = [
            (record.timestamp_ms, record.offset)
            for batch in self.between(self.start, self.end)
            for record in decode_batch(batch.data)
            if record.offset >= self.start
        ]
        expected = next((r for r in records if r[0] >= timestamp_ms), None)
        assert self.bench.log.offset_for_timestamp(timestamp_ms) == expected
        youngest_ms = max((ms for ms, _ in records), default=-1)
        expected = next((r for r in records if r[0] == youngest_ms), (-1, -1))
        assert self.bench.log.max_timestamp() == expected

    @invariant()
    def offsets_agree(self) -> None:
        if hasattr(self, "bench"):
            log = self.bench.log
            assert log.log_start_offset == self.start
            assert log.durable_offset == self.durable
            assert log.end_offset == self.end
            assert log.size_bytes == sum(segment.size_bytes for segment in log.segments)


TestLogModel = LogMachine.TestCase
TestLogModel.settings = settings(
    max_examples=120,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
