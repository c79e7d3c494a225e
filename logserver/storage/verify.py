"""Reading a log directory with suspicion: everything that contradicts something else is a finding.

`verify_directory` changes nothing and needs no lock. Beside a stopped server it sees all; beside a
running one it keeps below the durable mark, which only grows; what retention removes or compaction
replaces while it is being read is no finding. After a crash it judges only what was promised: side
files that no digest covers yet count after a clean stop. What vouches for what:

    batch           its CRC-32C; base offset and epoch by its neighbours, the epochs, the digest
    sealed segment  its digest: XXH3 of .log, .index, .timeindex, .snapshot, .window
    digest, mark    their own checksums (both slots of the mark)
    indexes         each entry by the batch it points to
    snapshot        its CRC-32C, and the window of the same offset
    window          its CRC-32C, and the window before it plus the batches between (where nothing
                    was compacted away)
    epochs          their own order, and the epoch in each batch
    the end         the durable mark: a log that ends below it has lost something

The walk sums every batch, so a full pass reads the directory once, and sealed segments twice, at
the speed of the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from . import checkpoint, producers, retention, sparse
from .checkpoint import CheckpointError, LeaderEpochs
from .digest import DIGEST_SUFFIX, DigestError, SegmentDigest, decode_digest, digest_file, file_name
from .directory import CLEAN_FILE, is_partition_name
from .failure import StorageError
from .files import Files
from .identity import IDENTITY_FILE, read_identity
from .index import OFFSET_ENTRY_BYTES, TIME_ENTRY_BYTES, OffsetIndex, TimeIndex
from .mark import MARK_FILE, MarkEntry, Slot, decode_file
from .producer_files import SNAPSHOT_SUFFIX, WINDOW_SUFFIX, offsets_of
from .producers import ProducerStates, SnapshotError
from .quarantine import read_quarantine
from .recovery import segment_base_offsets
from .scan import Found, Header, Stop, walk
from .swap_files import SWAP_SUFFIX

MARK_READS_COUNT: Final = 3  # a running server may be writing a slot while we look
PASSES_COUNT_MAX: Final = 5  # and may be compacting
Progress = Callable[[int], None]


class Finding(NamedTuple):
    """One contradiction. `position` is a byte in the file, -1 where it concerns the whole file."""

    kind: str
    path: str
    position: int
    sentence: str


def verify_directory(
    files: Files, path: str, *, progress: Progress | None = None
) -> Iterator[Finding]:
    """All findings of a log directory, partition by partition. Raises OSError.

    `progress` is told of bytes as they are read.
    """
    path = path.rstrip("/") or "/"
    try:
        if read_identity(files, path) is None:
            yield Finding("identity", f"{path}/{IDENTITY_FILE}", -1, "there is no identity file")
    except StorageError as error:
        yield Finding("identity", f"{path}/{IDENTITY_FILE}", -1, str(error))
    slot, faults = _read_mark(files, f"{path}/{MARK_FILE}")
    for fault in faults:
        yield Finding("mark", f"{path}/{MARK_FILE}", -1, fault)
    stopped = files.exists(f"{path}/{CLEAN_FILE}")
    for name in files.list_directory(path):
        if is_partition_name(name) and files.is_directory(f"{path}/{name}"):
            entry = slot.entries.get(name) if slot is not None else None
            yield from verify_partition(
                files, f"{path}/{name}", entry, stopped=stopped, progress=progress
            )


def _read_mark(files: Files, path: str) -> tuple[Slot | None, list[str]]:
    slots: list[Slot | str] = []
    for _ in range(MARK_READS_COUNT):
        try:
            slots = decode_file(files.read_file(path))
        except FileNotFoundError:
            return None, ["there is no durable mark, so nothing says how far logs must reach"]
        if all(isinstance(slot, Slot) for slot in slots):
            break
    valid = [slot for slot in slots if isinstance(slot, Slot)]
    faults = [f"slot {i}: {slot}" for i, slot in enumerate(slots) if isinstance(slot, str)]
    return max(valid, key=lambda slot: slot.generation, default=None), faults


def verify_partition(
    files: Files,
    directory: str,
    entry: MarkEntry | None,
    *,
    stopped: bool,
    progress: Progress | None = None,
) -> Iterator[Finding]:
    """All findings of one partition directory. Raises OSError.

    `entry` is its durable mark, `stopped` says that the last stop was clean. Where something was
    found and a segment was replaced by compaction meanwhile, the partition is read once more.
    """
    findings: list[Finding] = []
    for attempt in range(1, PASSES_COUNT_MAX + 1):
        before = _sealed_state(files, directory)
        try:
            partition = _Partition(files, directory, entry, stopped, progress or _no_progress)
            findings = list(partition.findings())
        except FileNotFoundError:
            if attempt == PASSES_COUNT_MAX or _sealed_state(files, directory) == before:
                raise
            continue
        if not findings or _sealed_state(files, directory) == before:
            break
    yield from findings


def _sealed_state(files: Files, directory: str) -> dict[str, bytes]:
    """The digests of a partition, by which a replaced segment is noticed, and decided swaps."""
    state = {}
    for name in files.list_directory(directory):
        if name.endswith((DIGEST_SUFFIX, DIGEST_SUFFIX + SWAP_SUFFIX)):
            try:
                state[name] = files.read_file(f"{directory}/{name}")
            except FileNotFoundError:
                state[name] = b""
    return state


def _no_progress(_: int) -> None:
    """Nobody watches."""


class _Batches:
    """What a walk over one segment saw, for comparison with its side files."""

    def __init__(self, partition: _Partition) -> None:
        self.partition = partition
        self.last_offsets: dict[int, int] = {}  # by position
        self.rises: dict[int, int] = {}  # last offset of the batches that raised the timestamp
        self.max_timestamp_ms = -1
        self.wrong_epoch: Finding | None = None

    def __call__(self, position: int, header: Header) -> None:
        last_offset = header[0] + header[6]
        self.last_offsets[position] = last_offset
        if header[8] > self.max_timestamp_ms:
            self.max_timestamp_ms = header[8]
            self.rises[last_offset] = header[8]
        partition = self.partition
        expected = partition.epochs.epoch_at(header[0])
        if expected not in (-1, header[2]) and self.wrong_epoch is None:
            why = f"batch {header[0]} has leader epoch {header[2]}, expected {expected}"
            self.wrong_epoch = Finding("epoch", "", position, why)
        if partition.states is not None:
            partition.states.replay(header)


class _Partition:
    """The verification of one partition directory."""

    def __init__(
        self,
        files: Files,
        directory: str,
        entry: MarkEntry | None,
        stopped: bool,
        progress: Progress,
    ) -> None:
        self.files = files
        self.directory = directory
        self.entry = entry
        self.stopped = stopped
        self.progress = progress
        self.epochs = LeaderEpochs()
        self.states: ProducerStates | None = None  # replayed since the last window, if any
        self.end_offset = 0
        self.sparse_below = sparse.read(files, directory)
        self.is_broken = False  # the last segment that was walked
        self.is_sealed = False  # and whether it is sealed: then what the next begins with is synced

    def path(self, base: int, suffix: str) -> str:
        return f"{self.directory}/{file_name(base, suffix)}"

    def findings(self) -> Iterator[Finding]:
        yield from self._small_files()
        bases = segment_base_offsets(self.files, self.directory)
        if not bases:
            if self.entry is not None and self.entry.offset > 0:
                yield Finding("continuity", self.directory, -1, "there is no segment left")
            return
        for base, next_base in pairwise([*bases, -1]):
            try:
                found = list(self._segment(base, next_base))
            except FileNotFoundError:
                if base in segment_base_offsets(self.files, self.directory):
                    raise
                self.states = None
                continue  # retention removed it while we read
            yield from found
        if self.stopped:
            yield from self._other_producer_files(bases)
        entry = self.entry
        if entry is None or self.is_broken or entry.segment_base_offset < bases[0]:
            return
        if self.end_offset < entry.offset:
            why = f"the log ends at offset {self.end_offset}, durable was {entry.offset}"
            yield Finding("continuity", self.directory, -1, why)

    def _small_files(self) -> Iterator[Finding]:
        path = f"{self.directory}/{checkpoint.METADATA_FILE}"
        try:
            topic_id = checkpoint.read_topic_id(self.files, self.directory)
            if topic_id is None:
                yield Finding("metadata", path, -1, "there is no topic id")
            elif self.entry is not None and self.entry.topic_id != topic_id:
                self.entry = None  # of an earlier topic with this name
        except CheckpointError as error:
            yield Finding("metadata", path, -1, str(error))
        path = f"{self.directory}/{checkpoint.EPOCHS_FILE}"
        try:
            self.epochs = checkpoint.decode_epochs(self.files.read_file(path))
        except (FileNotFoundError, CheckpointError) as error:
            yield Finding("epoch", path, -1, f"the leader epochs cannot be read: {error}")
        path = f"{self.directory}/{retention.LOG_START_FILE}"
        if self.files.exists(path) and retention.read_log_start(self.files, self.directory) is None:
            yield Finding("metadata", path, -1, "the log start offset does not match its checksum")
        path = f"{self.directory}/{sparse.SPARSE_FILE}"
        if self.sparse_below == retention.NEVER:
            yield Finding("metadata", path, -1, "the offset does not match its checksum")
        verdict = read_quarantine(self.files, self.directory)
        if verdict is not None:
            why = f"quarantined from offset {verdict.offset} on: {verdict.why}"
            yield Finding("quarantine", self.path(verdict.segment_base_offset, ".log"),
                          verdict.position, why)  # fmt: skip

    def _segment(self, base: int, next_base: int) -> Iterator[Finding]:
        sealed = None
        if self.files.exists(self.path(base, DIGEST_SUFFIX)):
            yield from self._digest(base)
            sealed = self._decoded_digest(base)
        if self.stopped or self.is_sealed or sealed is not None:
            yield from self._producer_files(base)
        self.is_sealed = sealed is not None
        if sealed is None and self.entry is not None and base > self.entry.segment_base_offset:
            self.states = None
            return  # above the durable mark: nothing was promised yet
        batches = _Batches(self)
        stop = self._walk(base, next_base, sealed, batches)
        self.end_offset = stop.offset
        path = self.path(base, ".log")
        self.is_broken = stop.found not in (Found.END, Found.ZEROS)
        if self.is_broken:
            yield Finding("batch", path, stop.position, f"offset {stop.offset}: {stop.why}")
        if batches.wrong_epoch is not None:
            yield batches.wrong_epoch._replace(path=path)
        if sealed is not None and sealed.max_timestamp_ms != batches.max_timestamp_ms:
            why = f"the largest timestamp is {batches.max_timestamp_ms}, the digest says another"
            yield Finding("digest", self.path(base, DIGEST_SUFFIX), -1, why)
        if sealed is not None or (self.stopped and next_base < 0):
            yield from self._offset_index(base, batches, stop)
            yield from self._time_index(base, batches, stop)

    def _walk(
        self, base: int, next_base: int, sealed: SegmentDigest | None, batches: _Batches
    ) -> Stop:
        """Walk what must be there; the stop is INVALID if the segment ends at a wrong offset."""
        entry = self.entry
        file = self.files.open(self.path(base, ".log"), write=False)
        try:
            end = file.size()
            expected = next_base
            if sealed is None and entry is not None and base == entry.segment_base_offset:
                end, expected = min(end, entry.position), entry.offset
            epoch = self.epochs.epoch_at(base - 1)
            gaps = base < self.sparse_below
            stop = walk(file, 0, end, base, epoch, batches, checked=True, sparse=gaps)
            self.progress(stop.position)
        finally:
            file.close()
        if gaps:
            self.states = None  # batches are missing: what producers wrote cannot be followed
            if sealed is not None and stop.found is Found.END and stop.offset < expected:
                return stop  # where another program compacted, a segment may end in a gap
        if stop.found in (Found.END, Found.ZEROS) and expected not in (-1, stop.offset):
            why = f"the batches end at offset {stop.offset}, it must be {expected}"
            return stop._replace(found=Found.INVALID, why=why)
        return stop

    # Side files

    def _digest(self, base: int) -> Iterator[Finding]:
        path = self.path(base, DIGEST_SUFFIX)
        try:
            digest = decode_digest(self.files.read_file(path))
        except DigestError as error:
            yield Finding("digest", path, -1, str(error))
            return
        if digest.base_offset != base:
            yield Finding("digest", path, -1, f"it is of segment {digest.base_offset}")
        for part in digest.parts:
            part_path = self.path(base, part.suffix)
            try:
                size_bytes, xxh3 = digest_file(self.files, part_path)
            except FileNotFoundError:
                yield Finding("digest", part_path, -1, "the file is missing")
                continue
            self.progress(size_bytes)
            if size_bytes != part.size_bytes:
                why = f"it has {size_bytes} bytes, {part.size_bytes} were sealed"
                yield Finding("digest", part_path, -1, why)
            elif xxh3 != part.xxh3:
                yield Finding("digest", part_path, -1, "its XXH3 is not the one it was sealed with")

    def _decoded_digest(self, base: int) -> SegmentDigest | None:
        try:
            return decode_digest(self.files.read_file(self.path(base, DIGEST_SUFFIX)))
        except DigestError:
            return None

    def _offset_index(self, base: int, batches: _Batches, stop: Stop) -> Iterator[Finding]:
        path = self.path(base, ".index")
        if not self.files.exists(path):
            return  # of a log that is being written: in memory
        data = self.files.read_file(path)
        index = OffsetIndex(memoryview(data))
        if len(data) % OFFSET_ENTRY_BYTES:
            yield Finding("index", path, len(data), "it ends within an entry")
        for number in range(index.count):
            position, last_offset = index.position(number), base + index.last_offset(number)
            if 0 <= position < stop.position and batches.last_offsets.get(position) != last_offset:
                why = f"no batch at byte {position} ends with offset {last_offset}"
                yield Finding("index", path, number * OFFSET_ENTRY_BYTES, why)
            elif not 0 <= position < stop.position and stop.found is Found.END:
                why = f"byte {position} is outside of the segment"
                yield Finding("index", path, number * OFFSET_ENTRY_BYTES, why)

    def _time_index(self, base: int, batches: _Batches, stop: Stop) -> Iterator[Finding]:
        path = self.path(base, ".timeindex")
        if not self.files.exists(path):
            return
        data = self.files.read_file(path)
        index = TimeIndex(memoryview(data))
        if len(data) % TIME_ENTRY_BYTES:
            yield Finding("index", path, len(data), "it ends within an entry")
        for number in range(index.count):
            timestamp_ms, relative = index.entry(number)
            offset = base + relative
            if stop.found is not Found.END and offset >= stop.offset:
                continue  # behind the fault that was told
            if batches.rises.get(offset) != timestamp_ms:
                why = f"{timestamp_ms} is not the largest timestamp up to offset {offset}"
                yield Finding("index", path, number * TIME_ENTRY_BYTES, why)

    def _producer_files(self, base: int) -> Iterator[Finding]:
        """Compare the producers' files at a segment's base with the log before it."""
        window_path = self.path(base, WINDOW_SUFFIX)
        if not self.files.exists(window_path):
            return
        try:
            window = producers.decode_window(self.files.read_file(window_path))
        except SnapshotError as error:
            yield Finding("producers", window_path, -1, str(error))
            return
        path = self.path(base, SNAPSHOT_SUFFIX)
        try:
            snapshot = self.files.read_file(path)
            producers.decode_snapshot(snapshot)
            if snapshot != producers.encode_snapshot(window):
                yield Finding("producers", path, -1, "it differs from the window beside it")
        except SnapshotError as error:
            yield Finding("producers", path, -1, str(error))
        except FileNotFoundError:
            pass  # the digest knows whether there was one
        if self.states is not None and (wrong := _first_difference(window, self.states)):
            yield Finding("producers", window_path, -1, wrong)
        self.states = window

    def _other_producer_files(self, bases: list[int]) -> Iterator[Finding]:
        """Check those that a clean stop left behind the last batch."""
        names = self.files.list_directory(self.directory)
        for suffix, decode in (
            (WINDOW_SUFFIX, producers.decode_window),
            (SNAPSHOT_SUFFIX, producers.decode_snapshot),
        ):
            for offset in offsets_of(names, suffix):
                try:
                    if offset not in bases:
                        decode(self.files.read_file(self.path(offset, suffix)))
                except SnapshotError as error:
                    yield Finding("producers", self.path(offset, suffix), -1, str(error))


def _first_difference(window: ProducerStates, replayed: ProducerStates) -> str:
    """How a window contradicts the batches before it; an expired producer is no contradiction."""
    for producer_id, entry in window.entries.items():
        known = replayed.entries.get(producer_id)
        if known is None:
            return f"producer {producer_id} wrote nothing before"
        batches = list(entry.batches)
        if entry.epoch != known.epoch or batches != list(known.batches)[-len(batches) :]:
            return f"producer {producer_id} wrote other batches before"
    return ""
