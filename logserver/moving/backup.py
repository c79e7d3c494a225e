"""A copy of a data directory that is being served: consistent, quick, and opened once to prove it.

Theory. Nobody is asked and nothing is locked; the order makes the copy true.

    the durable mark's entry of a partition    before its segments: it is a lower bound of them
    __consumer_offsets                         before the others are listed: its offsets point at
                                               their records
    the segments of a partition, rising        then its log start: what was deleted meanwhile at
                                               the front is missing at the front
    __cluster_metadata-0                       after all partitions: a topic that is deleted
                                               meanwhile is gone here, one that is made is empty
    meta.properties                            last: without it `serve` refuses the directory

Sealed segments are linked. What is still written is copied as far as it has come; its last batch
may be torn, as after a kill, and everything that was acknowledged before the backup began is
whole. A segment that compaction replaces while a partition is copied makes that partition be
copied again: without its digest, its gaps would be taken for damage.

Then the copy is opened as a start opens it, which checks each byte that no digest covers, cuts the
torn end, and closes it clean. A copy of a copy is a restored directory: nothing else is needed.
"""

from __future__ import annotations

import errno
import os
import posixpath
import threading
from collections.abc import Callable, Iterator
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from logserver.broker.directories import METADATA_DIRECTORY, reconcile, require_credible
from logserver.broker.image import Image
from logserver.broker.metadata_log import METADATA_CONFIG, METADATA_TOPIC_ID, MetadataLog
from logserver.config import load, topic_config
from logserver.moving.transfer import Transfer, only_whole, require_apart
from logserver.storage import checkpoint, cleaner_checkpoint, digest, mark
from logserver.storage.directory import (
    CLEAN_FILE,
    LOCK_FILE,
    LogDirectory,
    is_partition_name,
    remove_tree,
)
from logserver.storage.failure import Kind, StorageError
from logserver.storage.files import Files
from logserver.storage.identity import IDENTITY_FILE, Identity, read_identity
from logserver.storage.maintenance import DELETED_SUFFIX
from logserver.storage.producer_files import offsets_of
from logserver.storage.segment import LOG_SUFFIX, segment_path

if TYPE_CHECKING:
    from logserver.storage.digest import SegmentDigest

OFFSETS_TOPIC: Final = "__consumer_offsets"
# Compaction swaps files in some milliseconds; retention and rolls come and go.
ATTEMPTS_MAX: Final = 200
WAIT_S: Final = 0.02
DECIDED_SUFFIX: Final = ".digest.swap"
# What another start would remove, or has kept for a person to look at.
NOT_COPIED: Final = (".tmp", ".cleaned", ".deleted", ".cut")
# The cleaner's checkpoint may be younger than the copies of the logs: they would be believed to be
# clean where a job was only begun, and tombstones would go before the records that they delete.
ROOT_NOT_COPIED: Final = frozenset(
    (LOCK_FILE, CLEAN_FILE, mark.MARK_FILE, IDENTITY_FILE, cleaner_checkpoint.CHECKPOINT_FILE)
)

Progress = Callable[[int, int], None]
"""Told of records (0: they are not looked at) and bytes that are done."""


class Copied(NamedTuple):
    """What a backup did, and what should be heard about it."""

    identity: Identity
    partition_count: int
    linked_bytes: int
    copied_bytes: int
    notes: list[str]


class _Changed(Exception):
    """The partition's files were replaced while they were copied."""


def copy_directory(
    files: Files,
    source: str,
    target: str,
    *,
    links: bool = True,
    now_ms: int,
    random: Random,
    progress: Progress,
) -> Copied:
    """Copy the data directory `source`, served or not, to `target`, which is empty or not there.

    Raises StorageError (IDENTITY: not a data directory, or a target in use; CORRUPT), OSError.
    """
    identity = read_identity(files, source)
    if identity is None:
        raise StorageError(
            Kind.IDENTITY, f"{source} is no data directory: it has no {IDENTITY_FILE}."
        )
    require_apart(source, target)
    transfer = Transfer(links=links)
    with only_whole(files, target):
        entries = {
            name: entry
            for name in _partitions_in_order(files, source)
            if (entry := _copy_partition(files, source, target, name, transfer, progress))
            is not None
        }
        _copy_root(files, source, target, transfer, entries)
        notes = open_once(files, target, identity, now_ms, random)
    return Copied(identity, len(entries), transfer.linked_bytes, transfer.copied_bytes, notes)


def _partitions_in_order(files: Files, source: str) -> Iterator[str]:
    """Offsets, then the records that they point at, then what says which topics there are.

    The second are listed when the first are copied: those may point into a topic just made.
    """
    for is_second in (False, True):
        for name in files.list_directory(source):
            first = name.startswith(f"{OFFSETS_TOPIC}-")
            if is_partition_name(name) and name != METADATA_DIRECTORY and first != is_second:
                yield name
    yield METADATA_DIRECTORY


# One partition


def _copy_partition(
    files: Files,
    source: str,
    target: str,
    name: str,
    transfer: Transfer,
    progress: Progress,
) -> mark.MarkEntry | None:
    """Copy a partition directory; its durable mark, None when it is no topic's (any more)."""
    theirs, ours = f"{source}/{name}", f"{target}/{name}"
    for attempt in range(ATTEMPTS_MAX):
        known = mark.Mark.load(files, source)
        try:
            topic_id = checkpoint.read_topic_id(files, theirs)
            files.make_directory(ours)
            _copy_files(files, theirs, ours, transfer, progress, last=attempt == ATTEMPTS_MAX - 1)
            if topic_id != checkpoint.read_topic_id(files, theirs):
                raise _Changed  # another topic has that name now
        except (_Changed, FileNotFoundError):
            if files.exists(ours):
                remove_tree(files, ours)
            if not files.exists(theirs):
                return None
            threading.Event().wait(WAIT_S)
        else:
            if topic_id is None:
                return None  # just being made, so nothing of it was acknowledged; or nobody's
            entry = known.bound(name, topic_id)
            return mark.MarkEntry(topic_id, 0, 0, 0) if entry is None else entry
    raise StorageError(
        Kind.UNUSABLE, f"{theirs} changes faster than it can be copied. Try again later."
    )


def _copy_files(
    files: Files,
    theirs: str,
    ours: str,
    transfer: Transfer,
    progress: Progress,
    *,
    last: bool,
) -> None:
    """Copy the files of one partition. Raises _Changed, OSError (also for a file that is gone)."""
    names = files.list_directory(theirs)
    if _is_swapping(names) and not last:  # nobody may be there who would end it: then take all
        raise _Changed
    inodes: dict[int, int] = {}
    found: SegmentDigest | None = None
    bases = sorted(offsets_of(names, LOG_SUFFIX))
    for base in bases:
        path, copy = segment_path(theirs, base), segment_path(ours, base)
        inodes[base] = _inode(path)
        found = _read_seal(files, theirs, base, is_last=base == bases[-1])
        if found is not None:
            transfer.carry(path, copy)
            _copy_covered(theirs, ours, found, transfer)
        else:
            transfer.copy(path, copy, _written_bytes(path))
        progress(0, files.file_size(copy))
    if found is not None:  # the active one was rolled meanwhile; what is appended needs another
        files.open(segment_path(ours, found.end_offset), create=True).close()
    names = files.list_directory(theirs)
    for name in names:
        if _is_beside(name) and not files.exists(f"{ours}/{name}"):
            transfer.copy(f"{theirs}/{name}", f"{ours}/{name}")
    if (_is_swapping(names) and not last) or any(
        inode != _inode(segment_path(theirs, base)) for base, inode in inodes.items()
    ):
        raise _Changed


def _is_swapping(names: list[str]) -> bool:
    return any(name.endswith(DECIDED_SUFFIX) for name in names)


def _read_seal(files: Files, directory: str, base: int, *, is_last: bool) -> SegmentDigest | None:
    """The digest of a segment that nobody writes any more, None where it may be written."""
    found = digest.read_digest(files, directory, base)
    if found is None or files.file_size(segment_path(directory, base)) != found.size_of(LOG_SUFFIX):
        return None
    # A start goes on in the last segment, whatever digest a cut has left it.
    if is_last and not files.exists(segment_path(directory, found.end_offset)):
        return None
    return found


def _copy_covered(theirs: str, ours: str, found: SegmentDigest, transfer: Transfer) -> None:
    """The files beside a sealed segment; small, and not linked: a start may write them anew."""
    suffixes = [part.suffix for part in found.parts if part.suffix != LOG_SUFFIX]
    for suffix in (*suffixes, digest.DIGEST_SUFFIX):
        name = digest.file_name(found.base_offset, suffix)
        if not os.path.lexists(f"{ours}/{name}"):  # a snapshot also belongs to the segment before
            transfer.copy(f"{theirs}/{name}", f"{ours}/{name}")


def _is_beside(name: str) -> bool:
    """Whether a file is to be copied that belongs to no sealed segment.

    Indexes of what is not sealed are made anew by the start.
    """
    indexes = (LOG_SUFFIX, ".index", ".timeindex", ".txnindex", digest.DIGEST_SUFFIX)
    return not name.endswith((*NOT_COPIED, *indexes))


def _inode(path: str) -> int:
    return os.stat(path, follow_symlinks=False).st_ino


def _written_bytes(path: str) -> int:
    """How much of a file is to be copied: up to where it was only allocated.

    Sixteen megabytes of zeros for each busy partition are better not copied.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return os.lseek(descriptor, 0, os.SEEK_HOLE)
    except OSError as error:
        if error.errno != errno.ENXIO:  # an empty file has no place to begin at
            raise
        return 0
    finally:
        os.close(descriptor)


# The whole


def _copy_root(
    files: Files,
    source: str,
    target: str,
    transfer: Transfer,
    entries: dict[str, mark.MarkEntry],
) -> None:
    """What lies beside the partitions, the mark as it was for each, and last the identity."""
    for name in files.list_directory(source):
        path = f"{source}/{name}"
        if (
            name not in ROOT_NOT_COPIED
            and not name.endswith((*NOT_COPIED, DELETED_SUFFIX))
            and not is_partition_name(name)  # what was deleted meanwhile is no directory any more
            and not files.is_directory(path)
        ):
            transfer.copy(path, f"{target}/{name}")
    if mark.Mark.load(files, source).known:
        copy = mark.Mark.load(files, target)
        for name, entry in entries.items():
            copy.note(name, entry)
        copy.write()
        copy.close()
    files.sync_file_system(target)
    transfer.copy(f"{source}/{IDENTITY_FILE}", f"{target}/{IDENTITY_FILE}")
    files.sync_file_system(target)


def open_once(
    files: Files, path: str, identity: Identity, now_ms: int, random: Random
) -> list[str]:
    """Open a directory as a start does, and close it clean; what recovery had to say.

    Torn ends are no news here: their copies are removed. Raises StorageError, OSError.
    """
    config = load({"log.dir": path, "node.id": str(identity.node_id)})
    directory = LogDirectory.open(files, config, now_ms=now_ms, random=random, program="backup")
    try:
        metadata = directory.open_log(
            METADATA_DIRECTORY, METADATA_CONFIG, topic_id=METADATA_TOPIC_ID, now_ms=now_ms
        )
        require_credible(directory, metadata)
        image = Image()
        MetadataLog(metadata, image)
        reconcile(directory, image, now_ms)
        for topic in image.topics.values():
            settings = topic_config(config, image.topic_configs(topic.name))
            for index in topic.partitions:
                name = f"{topic.name}-{index}"
                directory.open_log(name, settings, topic_id=topic.topic_id, now_ms=now_ms)
        logs = directory.logs.values()
        notes = [
            sentence
            for log in logs
            if log.recovery.quarantine is not None
            for sentence in log.recovery.sentences(log.name)
        ]
        for log in logs:
            for cut in log.recovery.cuts:
                files.unlink(f"{log.directory}/{posixpath.basename(cut.path)}")
        while directory.leftovers:
            directory.remove_leftovers()
        directory.close(clean=True)
    finally:
        directory.close()
    return notes
