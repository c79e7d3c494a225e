"""The log of one partition: segments in a row, one of them active.

    segments      [0 .. 811] sealed      [812 .. 1970] rolled      [1971 .. ] active
                                                ^ durable_offset          ^ end_offset

    log_start_offset <= durable_offset <= end_offset

Append is one `pwrite` at the tail of the active segment, after the batch was stamped in place with
its base offset and the leader epoch. Read gives a file range, not bytes. Both know everything they
need from memory: see `segment` for how a batch is found.

Durable is what a sync has covered. `begin_sync` lists the files that hold younger bytes (after a
roll two of them, and the directory when a file is new), `SyncTask.run` does nothing but wait for
the device and belongs to a helper thread, `synced` raises `durable_offset`. A failed sync is final:
the kernel tells a write-back error once and calls the next sync a success although the bytes are
gone. The log is then `fenced`: it refuses appends and syncs for as long as the process lives. A
full disk is no such thing: the append raises and leaves the log as it was.

Maintenance is what would stall the loop: preallocation, sealing, unlinking. `wants_maintenance` is
the cheap flag; `maintenance()` clears it and returns `(run, finish)` pairs: `run()` for a helper
thread, then `finish(result)` here, with what `run` returned or the OSError it raised.

Everything here except the `run`s belongs to one thread. Times are milliseconds and arguments.
"""

from __future__ import annotations

import posixpath
from struct import Struct

from logserver.config import TopicConfig

from . import checkpoint, maintenance, opening, retention, sync, timestamps
from .checkpoint import LeaderEpochs
from .file_slice import FileSlice
from .files import Files, is_disk_full
from .lookup import Lookup
from .maintenance import NEVER, Chore
from .mark import MarkEntry
from .producers import ProducerStates
from .recovery import Recovery
from .rolling import ASK, limits, must_roll
from .segment import Segment
from .swap import Swap
from .sync import SyncTask

__all__ = ["FencedError", "FileSlice", "Log", "OffsetOutOfRange", "SyncTask"]

STAMP = Struct(">qii")  # base offset, batch length, leader epoch: the length is written again
STAMP_LENGTH_OVERHEAD_BYTES = 12  # what the batch length does not count
SUMMED_BYTES_MIN = 128 << 10  # batches this large are summed as they come


class OffsetOutOfRange(Exception):
    """No such offset in the log: before its start or behind its end."""


class FencedError(OSError):
    """The log takes no appends any more; the message says since what."""


class Log:
    """One partition's log. See the module's docstring; make one with `Log.open`.

    Plain attributes for hot paths: `log_start_offset`, `end_offset`, `durable_offset`,
    `leader_epoch`, `size_bytes`, `wants_maintenance`. `fenced` says why appends are refused.
    """

    __slots__ = (
        "_config",
        "_durable_position",
        "_durable_segment",
        "_hot_from_offset",
        "_interval_bytes",
        "_roll_offset",
        "_roll_position",
        "_roll_timestamp_ms",
        "active",
        "allocate_after_position",
        "deleted_ms",
        "directory",
        "doomed",
        "durable_offset",
        "end_offset",
        "fenced",
        "files",
        "gone",
        "leader_epoch",
        "leader_epochs",
        "left_files",
        "log_start_offset",
        "lookup",
        "name",
        "producers",
        "recovery",
        "replaced",
        "retention_held_count",
        "rolls_count",
        "segments",
        "size_bytes",
        "start_keeper",
        "swap",
        "syncs_count",
        "topic_id",
        "unsealed",
        "wants_maintenance",
        "wants_space",
    )

    def __init__(
        self,
        files: Files,
        directory: str,
        config: TopicConfig,
        *,
        topic_id: bytes,
        segments: list[Segment],
        log_start_offset: int,
        recovery: Recovery,
    ) -> None:
        """Put a log together from what recovery found; everything in it is durable."""
        self.files = files
        self.directory = directory
        self.name = posixpath.basename(directory)
        self.topic_id = topic_id
        self.recovery = recovery
        self.producers: ProducerStates = recovery.producers
        self.leader_epochs: LeaderEpochs = recovery.epochs
        self.leader_epoch = recovery.epochs.latest
        self.segments = segments
        self.lookup = Lookup(segments, config.index_interval_bytes)
        self.active = segments[-1]
        self._hot_from_offset = self.active.base_offset
        self.size_bytes = sum(segment.size_bytes for segment in segments)
        self.log_start_offset = log_start_offset
        self.end_offset = self.durable_offset = self.active.end_offset
        self._durable_segment = self.active
        self._durable_position = self.active.size_bytes
        self.unsealed: dict[Segment, dict[str, bytes]] = {  # and what is to be written with each
            segment: {} for segment in segments[:-1] if not segment.sealed
        }
        self.doomed: list[Segment] = []
        self.replaced: dict[Segment, int] = {}  # by compacted ones, and when
        self.swap: Swap | None = None
        self.left_files: dict[str, bytes] = {}  # of a seal that a drop came before
        self.wants_maintenance = bool(self.unsealed)
        self.wants_space = False
        self.allocate_after_position = maintenance.first_allocation_position(self.active)
        self.start_keeper = retention.StartKeeper(files, log_start_offset)
        self.rolls_count = self.syncs_count = self.retention_held_count = 0
        self.deleted_ms: int | None = None
        self.gone = False
        self.fenced = ""
        self.config = config
        if recovery.quarantine is not None:
            self.fence(f"quarantined from offset {recovery.quarantine.offset} on")

    @classmethod
    def open(
        cls,
        files: Files,
        directory: str,
        config: TopicConfig,
        *,
        topic_id: bytes,
        now_ms: int,
        clean: bool = True,
        mark: MarkEntry | None = None,
    ) -> Log:
        """Open or make the log of a partition directory; recovery included, report in `recovery`.

        `clean`: the last stop of the log directory was clean. `mark`: the partition's durable
        mark. Raises OSError, CheckpointError (the directory belongs to another topic).
        """
        opening.prepare_directory(files, directory, topic_id)
        found, segments, log_start_offset = opening.recover_segments(
            files, directory, config.index_interval_bytes, clean=clean, mark=mark, now_ms=now_ms
        )
        return cls(
            files,
            directory,
            config,
            topic_id=topic_id,
            segments=segments,
            log_start_offset=log_start_offset,
            recovery=found,
        )

    @property
    def config(self) -> TopicConfig:
        """The topic's configuration; a new one may be assigned at any time."""
        return self._config

    @config.setter
    def config(self, config: TopicConfig) -> None:
        self._config = config
        self._interval_bytes = config.index_interval_bytes
        self._set_limits()

    # Append

    def append(
        self, batch: memoryview, last_offset_delta: int, max_timestamp_ms: int, now_ms: int
    ) -> int:
        """Stamp one verified batch in place, write it at the tail, return its base offset.

        `batch` is writable and whole. Raises OSError, which leaves the log as it was;
        FencedError if it takes no appends. The caller refuses batches above `segment.bytes`.
        """
        size_bytes = len(batch)
        segment = self.active
        position = segment.size_bytes
        end = position + size_bytes
        base_offset = self.end_offset
        last_offset = base_offset + last_offset_delta
        if (
            end > self._roll_position
            or max_timestamp_ms > self._roll_timestamp_ms
            or last_offset > self._roll_offset
        ):
            segment = self._make_room(size_bytes, last_offset, max_timestamp_ms, now_ms)
            position = segment.size_bytes
            end = position + size_bytes
        STAMP.pack_into(
            batch, 0, base_offset, size_bytes - STAMP_LENGTH_OVERHEAD_BYTES, self.leader_epoch
        )
        try:
            segment.file.pwrite(batch, position)
        except OSError as error:
            if not is_disk_full(error):
                self.fence(f"a write failed: {error}")
            raise
        if segment.summed is not None:
            # What is in the cache now need not be read again to be sealed. Small batches are summed
            # at the seal: a call for each would cost more than reading the file once.
            if size_bytes >= SUMMED_BYTES_MIN:
                segment.summed.update(batch)
            else:
                segment.summed = None
        segment.size_bytes = end
        self.size_bytes += size_bytes
        self.end_offset = last_offset + 1
        if max_timestamp_ms > segment.max_timestamp_ms:
            segment.max_timestamp_ms = max_timestamp_ms
            segment.max_timestamp_offset = last_offset
        if position > segment.index_after_position:
            segment.add_index_entry(position, base_offset, last_offset, self._interval_bytes)
        if end > self.allocate_after_position:
            self.allocate_after_position = NEVER
            self.wants_space = self.wants_maintenance = True
        return base_offset

    def _make_room(
        self, size_bytes: int, last_offset: int, max_timestamp_ms: int, now_ms: int
    ) -> Segment:
        """Return the segment that the batch goes into, a new one if the active must not take it."""
        if self.fenced:
            raise FencedError(f"{self.name} takes no records: {self.fenced}")
        segment = self.active
        if must_roll(segment, self._config, size_bytes, last_offset, max_timestamp_ms, now_ms):
            segment = self.roll(now_ms)
        if not segment.size_bytes:
            segment.first_timestamp_ms = max_timestamp_ms
        self._set_limits()
        return segment

    def _set_limits(self) -> None:
        """Put what `append` compares with into three numbers; a fenced log is always asked."""
        found = ASK if self.fenced else limits(self.active, self._config)
        self._roll_position, self._roll_offset, self._roll_timestamp_ms = found

    def roll(self, now_ms: int) -> Segment:
        """Begin a new segment at the log end, unless the active one is empty, and return it.

        The old one is sealed later. Raises OSError, which leaves the log as it was.
        """
        old = self.active
        if not old.size_bytes:
            return old
        maintenance.name_first(self)
        interval_bytes = self._interval_bytes
        new = Segment.create(self.files, self.directory, self.end_offset, now_ms, interval_bytes)
        old.finish_indexes()
        old.end_offset = self.end_offset
        old.rolled_ms = now_ms
        self.unsealed[old] = maintenance.producer_files(self, self.end_offset)
        self.lookup.add(new)
        self.active = new
        self._hot_from_offset = old.base_offset
        self.rolls_count += 1
        self.allocate_after_position = maintenance.first_allocation_position(new)
        self._set_limits()
        return new

    # Read

    def read(
        self, offset: int, max_bytes: int, upper_offset: int, minimum_one: bool = True
    ) -> FileSlice | None:
        """Return whole batches from the one that holds `offset`, or None when there are none yet.

        Ends at a batch boundary within `max_bytes`, at `upper_offset` (a batch boundary, the high
        watermark) and at the segment's end, whichever is first; the first batch comes whole even
        if larger, unless `minimum_one` is false: then None. The slice holds its segment: release
        it. Raises OffsetOutOfRange, OSError.
        """
        if offset < self.log_start_offset or offset > self.end_offset:
            raise OffsetOutOfRange(
                f"{self.name} holds {self.log_start_offset} to {self.end_offset}, not {offset}"
            )
        if offset >= upper_offset:
            return None
        hint = self.lookup.hints.get(offset)
        if hint is not None and hint[1] < hint[0].size_bytes:
            segment, position = hint
        else:
            segment, position = self.lookup.locate(offset)
            self.lookup.remember(offset, segment, position)
        end, next_offset = self._end(segment, upper_offset)
        if end - position > max_bytes:
            end, next_offset = self.lookup.fit(segment, position, max_bytes)
            if end - position > max_bytes and not minimum_one:
                return None
        self.lookup.remember(next_offset, segment, end)
        segment.acquire()
        hot = segment.base_offset >= self._hot_from_offset and position >= segment.hot_from_position
        return FileSlice(segment, position, end - position, offset, next_offset, hot)

    def _end(self, segment: Segment, upper_offset: int) -> tuple[int, int]:
        """Return (position, offset) where the segment or what may be shown of it ends."""
        active = self.active
        if segment is not active and segment.end_offset <= upper_offset:
            return segment.size_bytes, segment.end_offset
        if upper_offset >= self.end_offset:
            return active.size_bytes, self.end_offset
        if upper_offset == self.durable_offset and segment is self._durable_segment:
            return self._durable_position, upper_offset
        hint = self.lookup.hints.get(upper_offset)
        if hint is not None and hint[0] is segment:
            return hint[1], upper_offset
        return self.lookup.locate(upper_offset)[1], upper_offset

    def offset_for_timestamp(self, timestamp_ms: int) -> tuple[int, int] | None:
        """Return (timestamp, offset) of the first record that is as young, exactly, or None.

        Raises OSError, CorruptSegmentError, ProtocolError (a batch that is not decompressed).
        """
        return timestamps.offset_for_timestamp(self, timestamp_ms)

    def max_timestamp(self) -> tuple[int, int]:
        """Return (largest timestamp, first offset that has it), (-1, -1) without any.

        Raises OSError, CorruptSegmentError, ProtocolError.
        """
        return timestamps.max_timestamp(self)

    def end_offset_for_epoch(self, epoch: int) -> tuple[int, int]:
        """Answer OffsetForLeaderEpoch: (epoch, end offset), (-1, -1) where Kafka says undefined."""
        return self.leader_epochs.end_offset_for(epoch, self.end_offset)

    # Durability

    def begin_sync(self, *, rolled: bool = False) -> SyncTask | None:
        """Return what to sync for everything appended so far; None when it is durable.

        `rolled`: for what is in segments that have rolled.
        """
        if self.end_offset == self.durable_offset or self.fenced:
            return None
        return sync.begin(self, self.lookup.since(self._durable_segment), rolled=rolled)

    def synced(self, task: SyncTask, error: OSError | None = None) -> None:
        """Take note that a task has run: raise the durable offset, or fence the log."""
        for segment in task.segments:
            if error is None and task.directory is not None:
                segment.named = True
            segment.release()
        if error is not None:
            self.fence(f"a sync failed: {error}")
        elif task.through_offset > self.durable_offset:
            self.syncs_count += 1
            self.durable_offset = task.through_offset
            self._durable_segment = task.segments[-1]
            self._durable_position = task.through_position
            if self.unsealed:
                self.wants_maintenance = True

    def sync(self) -> None:
        """Make everything durable here and now, where waiting is right. Raises OSError: fenced."""
        task = self.begin_sync()
        if task is not None:
            try:
                task.run()
            except OSError as error:
                self.synced(task, error)
                raise
            self.synced(task)

    def durable_end(self) -> tuple[int, int, int]:
        """Return (durable offset, base offset of its segment, position there) for the mark."""
        segment = self._durable_segment
        return self.durable_offset, segment.base_offset, self._durable_position

    def fence(self, reason: str) -> None:
        """Refuse appends and syncs from now on; the first reason stays."""
        self.fenced = self.fenced or reason
        self._set_limits()

    # Leader epochs, trimming, retention, the end

    def set_leader_epoch(self, epoch: int) -> None:
        """Begin a leader epoch at the log end; durable on return. Raises OSError."""
        if epoch == self.leader_epoch:
            return
        self.leader_epochs.assign(epoch, self.end_offset)
        checkpoint.write_epochs(self.files, self.directory, self.leader_epochs)
        self.leader_epoch = epoch

    def trim(self, offset: int) -> None:
        """Move the log start up to `offset` (DeleteRecords); durable on return.

        Raises OffsetOutOfRange beyond the log end, OSError; FencedError if the log is fenced.
        """
        if self.fenced:
            raise FencedError(f"{self.name} is not trimmed: {self.fenced}")
        if offset > self.end_offset:
            raise OffsetOutOfRange(f"{self.name} ends at {self.end_offset}, before {offset}")
        retention.trim(self, offset)

    def retention(self, now_ms: int, *, trusted: bool = True) -> list[Segment]:
        """Drop the segments that `retention.ms` and `retention.bytes` are done with.

        `trusted`: whether the clock may be believed (`ClockGuard`). Raises OSError.
        """
        return retention.apply(self, now_ms, trusted)

    def replace_segments(self, old: list[Segment], new: Segment, now_ms: int) -> None:
        """Show one segment in the place of neighbours that it replaces (see `swap`)."""
        self.lookup.replace(old, new)
        for segment in old:
            self.size_bytes -= segment.size_bytes
            segment.doomed = True
            self.replaced[segment] = now_ms
        self.size_bytes += new.size_bytes
        if self._durable_segment in old:  # the very end of it: where the next one begins
            self._durable_segment = self.lookup.segment_of(self.durable_offset)
            self._durable_position = 0

    def maintenance(self) -> list[Chore]:
        """Return what is to be done off the loop, as (run, finish) pairs; clears the flag."""
        self.wants_maintenance = False
        return maintenance.chores(self)

    def close(self, *, clean: bool = True) -> None:
        """Close all files; a clean close syncs, trims and indexes first. Raises OSError.

        What a clean close writes beside the log is durable after `Files.sync_file_system`, which
        whoever closes many logs calls once. Nobody may hold a slice any more.
        """
        if clean and not self.fenced and self.deleted_ms is None:
            maintenance.finish_files(self)
        for segment in (*self.segments, *self.doomed, *self.replaced):
            segment.close()

    def delete(self, unique: str, now_ms: int) -> None:
        """Give up name and appends at once: the directory becomes `<name>.<unique>-delete`.

        Its space is freed by `removal` later. Raises OSError: then the name is still the old one.
        """
        self.deleted_ms = now_ms
        self.fence("the topic was deleted")
        parent, name = posixpath.split(self.directory)
        maintenance.rename_deleted(self, f"{parent}/{maintenance.deleted_name(name, unique)}")

    def removal(self, now_ms: int) -> Chore | None:
        """Return the chore that frees a deleted log's space, or None while it is too early.

        Too early: within `file.delete.delay.ms` of `delete`, or while a slice is held. `gone` is
        true when the chore has finished.
        """
        return maintenance.removal(self, now_ms)

    def statistics(self) -> dict[str, int]:
        """Return offsets, sizes and counts as plain numbers."""
        return {
            "log_start_offset": self.log_start_offset,
            "durable_offset": self.durable_offset,
            "end_offset": self.end_offset,
            "size_bytes": self.size_bytes,
            "segments_count": len(self.segments),
            "holds_count": sum(s.holds for s in (*self.segments, *self.doomed, *self.replaced)),
            "doomed_count": len(self.doomed),
            "rolls_count": self.rolls_count,
            "syncs_count": self.syncs_count,
            "index_rebuilds_count": self.lookup.rebuilds_count,
            "retention_held_count": self.retention_held_count,
        }
