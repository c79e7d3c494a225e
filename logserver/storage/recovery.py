"""What a partition directory is worth after a start, and making it fit for appends again.

A walk over the segments (`scan`) finds where the valid batches end, the table in `decisions` says
what that means, and this module carries it out: `recover` is the list of steps. A segment with a
valid digest is on the device and complete (see `digest`); it is not read. After a clean stop the
mark names the end and nothing is read at all.

Every unclean start first syncs the unsealed files and the directory (a page cache that outlived a
failed sync shows bytes that are not on the device), drops the range above the mark from the page
cache, scans it from the device, and ends with a new leader epoch: a batch of the old epoch behind
one of the new is invalid for ever. An OSError of these syncs goes up and fences the directory.

Costs. Sealed: two stats and one small read a segment. Unsealed, below the mark: headers. Above it:
one read and one CRC, some 2 GB/s.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from . import checkpoint, cutting, digest, producer_files, sparse
from .checkpoint import LeaderEpochs
from .cutting import LOG_SUFFIX, Cut
from .decisions import DECISIONS, Action, Start, Where
from .digest import COVERED_SUFFIXES, DIGEST_SUFFIX, SegmentDigest, file_name
from .failure import Kind, StorageError
from .files import Files
from .mark import MarkEntry
from .producers import ProducerStates
from .quarantine import Quarantine, read_quarantine, write_quarantine
from .scan import Found, Header, Observe, Stop, find_batch, walk


class FoundSegment(NamedTuple):
    """A segment as recovery leaves it.

    `sealed`: valid digest, trimmed, its index files trusted. `indexed`: the index files may be
    used as they are (sealed, or written by a clean stop); otherwise `observe` saw every batch.
    `max_timestamp_ms` is -1 where only the time index knows it.
    """

    base_offset: int
    end_offset: int
    size_bytes: int
    max_timestamp_ms: int
    sealed: bool
    indexed: bool


@dataclass(slots=True)
class Recovery:
    """The state of a partition directory, and the report of how it was found."""

    segments: list[FoundSegment] = field(default_factory=list)
    end_offset: int = 0
    epochs: LeaderEpochs = field(default_factory=LeaderEpochs)
    producers: ProducerStates = field(default_factory=ProducerStates)
    quarantine: Quarantine | None = None
    cuts: list[Cut] = field(default_factory=list)
    scanned_bytes: int = 0
    walked_bytes: int = 0
    clean: bool = True

    @property
    def end_position(self) -> int:
        """The byte in the last segment where the log ends."""
        return self.segments[-1].size_bytes if self.segments else 0

    def sentences(self, name: str) -> Iterator[str]:
        """What an operator should hear; nothing when nothing was lost or found spoilt."""
        for cut in self.cuts:
            yield (
                f"{name}: {cut.size_bytes} bytes after offset {cut.offset} were never promised and "
                f"are cut ({cut.why}); a copy is in {cut.path}."
            )
        if self.quarantine is not None:
            yield (
                f"{name}: quarantined from offset {self.quarantine.offset} on "
                f"({self.quarantine.why}). It is readable below and takes no records. "
                f"Run `logserver verify`, restore the segment or delete the topic."
            )


def recover(
    files: Files,
    directory: str,
    *,
    clean: bool,
    mark: MarkEntry | None,
    now_ms: int,
    producer_expiration_ms: int = 86_400_000,
    observer: Callable[[int], Observe] | None = None,
) -> Recovery:
    """Find out what a partition directory holds and bring it into a state that appends may follow.

    `mark` is the partition's durable mark, None where it is unknown (`Mark.bound`).
    `observer(base_offset)` is asked for each segment that is walked and gives what is to be told of
    its batches (the index builder). A directory without segments is a new partition: epoch 0.

    Raises OSError; one from a sync means that the log directory must be fenced.
    """
    run = _Run(files, directory, Start.CLEAN if clean else Start.UNCLEAN, mark, observer)
    as_stopped = run.is_as_stopped()
    if as_stopped:
        run.keep_as_stopped()
    else:
        run.sync_unsealed()
        run.walk_unsealed()
    run.apply_verdict()
    run.recovery.producers.expire(now_ms, producer_expiration_ms)
    run.settle_epochs(begin_new=not as_stopped)
    if run.verdict is None:
        run.remove_stray_files()
    return run.recovery


def segment_base_offsets(files: Files, directory: str) -> list[int]:
    """The base offsets of a directory's segments, rising. Raises OSError."""
    return sorted(producer_files.offsets_of(files.list_directory(directory), LOG_SUFFIX))


class _Run:
    """One recovery of one directory; its methods are the steps of `recover`."""

    def __init__(
        self,
        files: Files,
        directory: str,
        start: Start,
        mark: MarkEntry | None,
        observer: Callable[[int], Observe] | None,
    ) -> None:
        self.files = files
        self.directory = directory
        self.start = start
        self.mark = mark
        self.observer = observer
        self.recovery = Recovery(clean=start is Start.CLEAN)
        self.verdict = read_quarantine(files, directory)
        self.bases = segment_base_offsets(files, directory)
        self.digests = {found.base_offset: found for found in self._valid_digests()}
        self.stored_epochs = checkpoint.read_epochs(files, directory)
        self.epochs = LeaderEpochs(self.stored_epochs.starts if self.stored_epochs else [])
        self.replay_from = 0
        self.sparse_below = sparse.read(files, directory)
        self.boundaries: list[producer_files.Encoded] = []  # producers between walked segments
        if not self.bases and mark is not None and mark.offset > 0:
            raise StorageError(
                Kind.CORRUPT,
                f"{directory} holds no segment, but the durable mark says that the log ends at "
                f"offset {mark.offset}. Restore the directory or delete the topic.",
            )

    def path(self, base_offset: int, suffix: str = LOG_SUFFIX) -> str:
        return f"{self.directory}/{file_name(base_offset, suffix)}"

    # Which segments need no reading

    def _valid_digests(self) -> Iterator[SegmentDigest]:
        for base, end in pairwise(self.bases):
            found = digest.read_digest(self.files, self.directory, base)
            if found is not None and found.end_offset == end and self._has_sizes_of(found):
                yield found

    def _has_sizes_of(self, found: SegmentDigest) -> bool:
        for part in found.parts:
            try:
                size = self.files.file_size(self.path(found.base_offset, part.suffix))
            except FileNotFoundError:
                return False
            if size != part.size_bytes:
                return False
        return found.size_of(LOG_SUFFIX) is not None

    def is_as_stopped(self) -> bool:
        """Whether all is as the clean stop left it: one unsealed segment that ends at the mark."""
        if not self.bases:
            return True
        last, mark = self.bases[-1], self.mark
        return (
            self.start is Start.CLEAN
            and self.verdict is None
            and mark is not None
            and mark.segment_base_offset == last
            and len(self.digests) == len(self.bases) - 1
            and self.files.file_size(self.path(last)) == mark.position
            and self.files.exists(self.path(last, ".index"))
            and self.files.exists(self.path(last, ".timeindex"))
        )

    def keep_as_stopped(self) -> None:
        """Believe the clean stop: no batch is read."""
        for base in self.bases[:-1]:
            self._keep_sealed(base)
        if not self.bases:
            return
        assert self.mark is not None
        self._keep(self.bases[-1], self.mark.offset, self.mark.position, -1, indexed=True)
        self._load_producers(self.mark.offset)

    # The unclean start

    def sync_unsealed(self) -> None:
        """Make what the page cache shows durable, then forget it above the mark."""
        for base in self.bases:
            if base not in self.digests:
                file = self.files.open(self.path(base))
                try:
                    file.datasync()
                    file.dontneed(self._boundary(base) & -mmap.PAGESIZE, 0)
                finally:
                    file.close()
        self.files.sync_directory(self.directory)

    def _boundary(self, base: int) -> int:
        """The position in a segment up to which the mark vouches for it."""
        if self.mark is None or base > self.mark.segment_base_offset:
            return 0
        if base == self.mark.segment_base_offset:
            return self.mark.position
        return self.files.file_size(self.path(base))

    def walk_unsealed(self) -> None:
        """Walk every unsealed segment in order until the log ends."""
        if not self.bases:
            return
        first = next(base for base in self.bases if base not in self.digests)
        self._load_producers(first)
        for number, base in enumerate(self.bases):
            if base > first:
                self.boundaries.append(producer_files.encode(self.recovery.producers, base))
            if base in self.digests:
                self._keep_sealed(base)
                if base > first:  # the seals before it were lost; its producers are not yet known
                    self._replay(base, self.digests[base].end_offset)
            elif not self._settle(base, self.bases[number + 1 :], *self._walk(base)):
                break
        mark, end_offset = self.mark, self.recovery.end_offset
        if mark is None or mark.segment_base_offset < self.bases[0] or end_offset >= mark.offset:
            return
        last = self.recovery.segments[-1]
        why = f"the log ends here, but it was durable up to offset {mark.offset}"
        self._quarantine(Quarantine(end_offset, last.base_offset, last.size_bytes, why))

    def _walk(self, base: int) -> tuple[Where, Stop, int]:
        """Walk one segment: below the mark its headers, above it everything."""
        boundary, mark = self._boundary(base), self.mark
        observe = _Observer(self, base, self.observer)
        file = self.files.open(self.path(base), write=False)
        try:
            size_bytes = file.size()
            below = min(boundary, size_bytes)
            epoch = self.epochs.epoch_at(base - 1)
            gaps = base < self.sparse_below
            stop = walk(file, 0, below, base, epoch, observe, checked=False, sparse=gaps)
            self.recovery.walked_bytes += stop.position
            where = Where.UNKNOWN if mark is None else Where.ABOVE
            if mark is not None and base <= mark.segment_base_offset:
                if base < mark.segment_base_offset or stop.position < boundary:
                    return Where.BELOW, stop, observe.max_timestamp_ms
                if stop.offset != mark.offset:
                    why = f"the durable mark puts offset {mark.offset} here, the log {stop.offset}"
                    stop = stop._replace(found=Found.INVALID, why=why)
                    return Where.BELOW, stop, observe.max_timestamp_ms
            offset, epoch = stop.offset, stop.epoch
            stop = walk(file, below, size_bytes, offset, epoch, observe, checked=True, sparse=gaps)
            self.recovery.scanned_bytes += stop.position - below
            return where, stop, observe.max_timestamp_ms
        finally:
            file.close()

    def _settle(
        self, base: int, later: list[int], where: Where, stop: Stop, max_timestamp_ms: int
    ) -> bool:
        """Decide about one walked segment; True when the log goes on in the next."""
        self._keep(base, stop.offset, stop.position, max_timestamp_ms, indexed=False)
        if stop.found in (Found.END, Found.ZEROS):
            if later and stop.offset == later[0]:
                return True
            if not later and self._lost_an_empty_segment(base, stop):
                where = Where.ABOVE
        action = DECISIONS[self.start, where, stop.found, self._follows(base, stop, later)]
        if action is Action.QUARANTINE:
            self._quarantine(Quarantine(stop.offset, base, stop.position, stop.why))
        if self.verdict is not None:
            return False  # of a quarantined partition no byte is changed
        if action is Action.CUT:
            copied = cutting.copy_end(self.files, self.directory, base, stop.position)
            self._note_cut(copied, stop)
        for next_base in later:
            self._note_cut(cutting.take_segment(self.files, self.directory, next_base), stop)
        if action is not Action.KEEP:
            cutting.shorten(self.files, self.directory, base, stop.position)
        return False

    def _lost_an_empty_segment(self, base: int, stop: Stop) -> bool:
        """Whether nothing but the new file of a roll is missing, which the mark had seen empty."""
        mark = self.mark
        return (
            mark is not None
            and base < mark.segment_base_offset
            and stop.offset == mark.segment_base_offset == mark.offset
        )

    def _follows(self, base: int, stop: Stop, later: list[int]) -> bool:
        """Whether any whole, valid batch stands behind the stop."""
        starts = dict.fromkeys(later, 0)
        if stop.found in (Found.TORN, Found.INVALID):
            starts[base] = stop.position + 1
        for segment, position in starts.items():
            file = self.files.open(self.path(segment), write=False)
            try:
                if find_batch(file, position, file.size(), stop.offset) is not None:
                    return True
            except OSError:
                return True  # what cannot be read must not be called empty
            finally:
                file.close()
        return False

    # Carrying it out

    def _keep(
        self, base: int, end_offset: int, size_bytes: int, max_timestamp_ms: int, *, indexed: bool
    ) -> None:
        kept = FoundSegment(base, end_offset, size_bytes, max_timestamp_ms, False, indexed)
        self.recovery.segments.append(kept)
        self.recovery.end_offset = end_offset

    def _keep_sealed(self, base: int) -> None:
        found = self.digests[base]
        size_bytes = found.size_of(LOG_SUFFIX)
        assert size_bytes is not None
        kept = FoundSegment(base, found.end_offset, size_bytes, found.max_timestamp_ms, True, True)
        self.recovery.segments.append(kept)
        self.recovery.end_offset = found.end_offset

    def _note_cut(self, copied: tuple[str, int] | None, stop: Stop) -> None:
        if copied is not None:
            self.recovery.cuts.append(Cut(*copied, stop.offset, stop.why))

    def _quarantine(self, found: Quarantine) -> None:
        """Keep the verdict that reaches further down, in the directory too."""
        if self.verdict is None or found.offset < self.verdict.offset:
            self.verdict = found
            write_quarantine(self.files, self.directory, found)

    def apply_verdict(self) -> None:
        """End the readable log where the verdict says."""
        verdict = self.recovery.quarantine = self.verdict
        if verdict is None:
            return
        kept = []
        for segment in self.recovery.segments:
            if segment.end_offset > verdict.offset:
                if segment.base_offset > verdict.offset:
                    break
                inside = segment.base_offset == verdict.segment_base_offset
                segment = segment._replace(
                    end_offset=verdict.offset,
                    size_bytes=verdict.position if inside else 0,
                    sealed=False,
                )
            kept.append(segment)
        self.recovery.segments = kept
        self.recovery.end_offset = kept[-1].end_offset if kept else verdict.offset

    # Producers, epochs, leftovers

    def _load_producers(self, until: int) -> None:
        """Bring the producers' memory up to `until` from the newest window and the headers."""
        loaded = producer_files.load(self.files, self.directory, self.bases[0], until)
        self.recovery.producers = loaded.states
        self.replay_from = loaded.offset
        first = self.bases[0] if self.stored_epochs is None else loaded.offset
        for base, end in pairwise([*self.bases, until]):
            if end > first and base < until and not self._replay(base, end):
                return

    def _replay(self, base: int, end_offset: int) -> bool:
        """Replay the headers of a segment that is on the device; a fault in it is corruption."""
        file = self.files.open(self.path(base), write=False)
        try:
            observe = _Observer(self, base, None)
            gaps = base < self.sparse_below
            stop = walk(file, 0, file.size(), base, -1, observe, checked=False, sparse=gaps)
        finally:
            file.close()
        self.recovery.walked_bytes += stop.position
        # Where another program compacted, a segment may end in a gap; its digest vouches for it.
        if stop.offset >= end_offset or (gaps and stop.found is Found.END and base in self.digests):
            return True
        self._quarantine(Quarantine(stop.offset, base, stop.position, stop.why))
        return False

    def settle_epochs(self, *, begin_new: bool) -> None:
        """After an unclean start begin a new leader epoch; a new partition begins with epoch 0."""
        epochs = self.recovery.epochs = self.epochs
        if self.verdict is not None:
            return
        if not epochs.starts or (begin_new and self.bases):
            epochs.assign(epochs.latest + 1, self.recovery.end_offset)
        elif self.stored_epochs is not None:
            return
        checkpoint.write_epochs(self.files, self.directory, epochs)

    def remove_stray_files(self) -> None:
        """Remove what an interrupted write, roll, seal or delete left behind, durably.

        Durably: a producer window of a life whose batches were cut, come back after another power
        cut beside other batches at the same offsets, would be believed.
        """
        bases = {segment.base_offset for segment in self.recovery.segments}
        indexed = {segment.base_offset for segment in self.recovery.segments if segment.indexed}
        end_offset = self.recovery.end_offset
        before = self.files.list_directory(self.directory)
        for boundary in self.boundaries:  # a crash came before the seal that would have written it
            if boundary.offset in bases and boundary.offset not in self.digests:
                boundary.write(self.files, self.directory)
        unsure = {end_offset, *bases}.difference(self.digests)
        if self.start is Start.CLEAN:
            unsure.clear()
        producer_files.remove_stray(self.files, self.directory, bases, end_offset, unsure)
        names = self.files.list_directory(self.directory)
        for suffix in (*COVERED_SUFFIXES[1:4], DIGEST_SUFFIX):
            for offset in producer_files.offsets_of(names, suffix):
                last = offset == max(bases, default=-1)
                stale = last if suffix == DIGEST_SUFFIX else offset not in indexed
                if offset not in bases or stale:
                    self.files.unlink(self.path(offset, suffix))
        for name in names:
            if name.endswith(".tmp"):
                self.files.unlink(f"{self.directory}/{name}")
        if self.files.list_directory(self.directory) != before:
            self.files.sync_directory(self.directory)


class _Observer:
    """Told of each batch of one segment: remembers what recovery needs, then tells the index."""

    __slots__ = ("_told", "epochs", "max_timestamp_ms", "run")

    def __init__(
        self, run: _Run, base_offset: int, observer: Callable[[int], Observe] | None
    ) -> None:
        self.run = run
        self.epochs = run.epochs
        self.max_timestamp_ms = -1
        self._told = observer(base_offset) if observer is not None else None

    def __call__(self, position: int, header: Header) -> None:
        if header[8] > self.max_timestamp_ms:
            self.max_timestamp_ms = header[8]
        if header[2] > self.epochs.latest:
            self.epochs.assign(header[2], header[0])
        if header[9] >= 0 and header[0] >= self.run.replay_from:
            self.run.recovery.producers.replay(header)
        if self._told is not None:
            self._told(position, header)
