"""A log directory as a whole: who owns it, how it was stopped, how far it is durable.

    <data-dir>/
        .lock                        flock, held while the process lives; says who
        meta.properties              identity and on-disk format (`identity`)
        .logserver_cleanshutdown     exists only between a clean stop and the next start
        durable-mark                 the lower bound of what is on the device (`mark`)
        <topic>-<partition>/         one log each (`log`)
        <topic>-<partition>.<id>-delete/    a deleted log whose space is being freed

The order of things is the promise:

    start    lock, identity, read the mark, remove the clean marker and sync that, then open logs
    running  data synced, then the mark that speaks of it, never the other way round
    stop     logs closed (synced, trimmed, indexed), everything synced, mark, then the clean marker

The clean marker names the mark's generation: a marker that was left by one life of the directory
cannot vouch for another.

The first failed sync fences the directory: no log of it is written or synced again by this process,
because the kernel reports a write-back error once and calls the next sync a success.

Everything here belongs to the loop's thread, except `run` of what `begin_mark` returns and
`remove_leftovers`, which are for a helper thread.
"""

from __future__ import annotations

import errno
import os
import posixpath
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Final

from . import checkpoint
from .failure import Kind, StorageError
from .files import File, Files, LockedError, is_disk_full, is_passing
from .identity import Identity, check_node, create_identity, raise_format, read_identity
from .log import Log
from .maintenance import DELETED_SUFFIX, deleted_name
from .mark import MARK_INTERVAL_BYTES, MARK_INTERVAL_MS, Mark, MarkEntry, MarkWrite

if TYPE_CHECKING:
    from collections.abc import Iterable

    from logserver.config import BrokerConfig, TopicConfig

LOCK_FILE: Final = ".lock"
CLEAN_FILE: Final = ".logserver_cleanshutdown"


class LogDirectory:
    """An open log directory. Make one with `LogDirectory.open`; always `close` it.

    `clean`: the last stop was clean. `logs` by partition directory name. `fenced`: why nothing is
    written any more, empty while all is well.
    """

    __slots__ = (
        "_due_bytes",
        "_lock",
        "_marked_ms",
        "_moved",
        "_sequence",
        "_writing",
        "clean",
        "closed",
        "fenced",
        "files",
        "identity",
        "leftovers",
        "logs",
        "mark",
        "path",
    )

    def __init__(self, files: Files, path: str, lock: File, identity: Identity) -> None:
        """Use `open`."""
        self.files = files
        self.path = path
        self.identity = identity
        self.logs: dict[str, Log] = {}
        self.fenced = ""
        self.closed = False
        self.leftovers: list[str] = []
        self.mark = Mark.load(files, path)
        self.clean = self._take_clean_marker()
        self._lock = lock
        self._moved: dict[Log, tuple[int, int]] = {}
        self._due_bytes = 0
        self._marked_ms = 0
        self._writing = False
        self._sequence = 0

    @classmethod
    def open(
        cls,
        files: Files,
        config: BrokerConfig,
        *,
        now_ms: int,
        random: Random | None = None,
        program: str = "logserver serve",
    ) -> LogDirectory:
        """Lock a log directory, made if it is not there, and learn how it was stopped.

        Raises StorageError: LOCKED, IDENTITY, FORMAT, UNUSABLE, each with its sentence.
        """
        path = config.data_dir.rstrip("/") or "/"
        try:
            _make_directories(files, path)
            lock = files.lock(f"{path}/{LOCK_FILE}", f"pid {os.getpid()} ({program})")
        except LockedError as error:
            raise StorageError(
                Kind.LOCKED,
                f"cannot open data dir {path}: locked by {error.holder or 'another process'}. "
                "Stop it or choose another --data-dir.",
            ) from error
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            identity = read_identity(files, path)
            if identity is None:
                identity = create_identity(files, path, config.node_id, random or SystemRandom())
            check_node(identity, path, config.node_id)
            identity = raise_format(files, path, identity)
            directory = cls(files, path, lock, identity)
            directory._marked_ms = now_ms
            directory._survey()
        except OSError as error:
            lock.close()
            raise _unusable(path, error) from error
        except StorageError:
            lock.close()
            raise
        return directory

    @property
    def cluster_id(self) -> str:
        """The cluster id, Kafka's text of a UUID."""
        return self.identity.cluster_id

    def _take_clean_marker(self) -> bool:
        path = f"{self.path}/{CLEAN_FILE}"
        try:
            text = self.files.read_file(path)
        except FileNotFoundError:
            return False
        self.files.unlink(path)
        self.files.sync_directory(self.path)
        return self.mark.known and text == _clean_text(self.mark)

    def _survey(self) -> None:
        """Note what a delete left behind, and forget marks of directories that are gone."""
        if not self.clean:
            # What a kill has left renamed in the page cache only: this start acts on the names.
            self.files.sync_directory(self.path)
        names = self.files.list_directory(self.path)
        self.leftovers = [name for name in names if name.endswith(DELETED_SUFFIX)]
        for name in set(self.mark.entries) - set(names):
            self.mark.forget(name)

    # Logs

    def open_log(self, name: str, config: TopicConfig, *, topic_id: bytes, now_ms: int) -> Log:
        """Open the log of a partition directory, recovered, or make a new one.

        `name` is `<topic>-<partition>`. Raises StorageError (CORRUPT, FENCED: a sync failed),
        CheckpointError when the directory belongs to another topic id.
        """
        self.check_writable()
        assert name not in self.logs
        path = f"{self.path}/{name}"
        known = self.files.exists(path)
        if not known:
            self.mark.forget(name)  # of a log that somebody removed by hand
        try:
            log = Log.open(
                self.files,
                path,
                config,
                topic_id=topic_id,
                now_ms=now_ms,
                clean=self.clean or not known,
                mark=self.mark.bound(name, topic_id),
            )
        except OSError as error:
            raise StorageError(
                Kind.FENCED,
                f"cannot open the log {path}: {error}. Look at the disk before starting again.",
            ) from error
        self.logs[name] = log
        self._note(log)
        return log

    def partition_directories(self) -> dict[str, bytes | None]:
        """The partition directories on disk with their topic ids, None where that is unreadable."""
        found: dict[str, bytes | None] = {}
        for name in self.files.list_directory(self.path):
            if is_partition_name(name) and self.files.is_directory(f"{self.path}/{name}"):
                try:
                    found[name] = checkpoint.read_topic_id(self.files, f"{self.path}/{name}")
                except checkpoint.CheckpointError:
                    found[name] = None
        return found

    def delete_log(self, name: str, now_ms: int) -> Log:
        """Give up a log: its name is free at once, its space later (`Log.removal`).

        Raises OSError when the directory cannot be renamed: then its space is freed by a restart,
        or by a `discard` before the name is used again.
        """
        log = self.logs.pop(name)
        self._moved.pop(log, None)
        self.mark.forget(name)
        log.delete(self._unique(now_ms), now_ms)
        return log

    def discard(self, name: str, now_ms: int) -> None:
        """Put a partition directory that no topic owns among the leftovers. Raises OSError."""
        assert name not in self.logs
        leftover = deleted_name(name, self._unique(now_ms))
        self.files.rename(f"{self.path}/{name}", f"{self.path}/{leftover}")
        self.files.sync_directory(self.path)
        self.mark.forget(name)
        self.leftovers.append(leftover)

    def disown(self, leftover: str) -> None:
        """Take its topic id from a leftover, durably: it is nobody's now. Raises OSError."""
        path = f"{self.path}/{leftover}"
        try:
            self.files.unlink(f"{path}/{checkpoint.METADATA_FILE}")
        except FileNotFoundError:
            return
        self.files.sync_directory(path)

    def _unique(self, now_ms: int) -> str:
        while True:
            self._sequence += 1
            unique = f"{now_ms:x}{self._sequence:04x}"
            # A clock that was set back gives the same numbers again.
            if not any(name.endswith(f".{unique}{DELETED_SUFFIX}") for name in self.leftovers):
                return unique

    def remove_leftovers(self) -> None:
        """Free the space of deleted logs; for a helper thread. Raises OSError."""
        while self.leftovers:
            remove_tree(self.files, f"{self.path}/{self.leftovers[0]}")
            del self.leftovers[0]

    # The durable mark

    def note_durable(self, logs: Iterable[Log], now_ms: int) -> None:  # noqa: ARG002 - a seam
        """A sync has ended: the mark may follow these logs."""
        for log in logs:
            self._note(log)

    def _note(self, log: Log) -> None:
        if log.recovery.quarantine is not None:
            return  # the mark stays where it was: it is the evidence
        _, base_offset, position = log.durable_end()
        before = self._moved.get(log)
        if before is None:
            entry = self.mark.entries.get(log.name)
            before = (-1, 0) if entry is None else (entry.segment_base_offset, entry.position)
            if before == (base_offset, position):
                return
        if before[0] == base_offset:
            self._due_bytes += position - before[1]
        else:
            self._due_bytes = MARK_INTERVAL_BYTES  # a roll, or a log that the mark does not know
        self._moved[log] = (base_offset, position)

    def begin_mark(self, now_ms: int, *, force: bool = False) -> MarkWrite | None:
        """The write of the mark that is due, None if none is. One at a time.

        Due: something moved, and MARK_INTERVAL_BYTES or MARK_INTERVAL_MS have gone by since the
        last write, or a segment rolled. Its `run` is for a helper thread; then `mark_written`.
        """
        if self._writing or self.fenced or not (self._moved or self.mark.dirty):
            return None
        waited_ms = now_ms - self._marked_ms
        if (
            not force
            and self._due_bytes < MARK_INTERVAL_BYTES
            and 0 <= waited_ms < MARK_INTERVAL_MS
        ):
            return None
        for log in self._moved:
            self.mark.note(log.name, MarkEntry(log.topic_id, *log.durable_end()))
        self._moved.clear()
        self._due_bytes = 0
        self._marked_ms = now_ms
        self._writing = True
        return self.mark.begin_write()

    def mark_written(self, error: OSError | None = None) -> None:
        """Take note that the write of the mark has run; an error fences the directory.

        But not one that says nothing of the disk's health, such as a full disk: the mark only lags.
        """
        self._writing = False
        if error is None:
            return
        self.mark.withdraw_write()
        if not is_passing(error):
            self.fence(error)

    # Sickness

    def fence(self, error: OSError | str) -> None:
        """Write and sync nothing here any more; the first reason stays."""
        self.fenced = self.fenced or str(error)
        for log in self.logs.values():
            log.fence(f"the log directory is fenced: {self.fenced}")

    def check_writable(self) -> None:
        """Raise StorageError (FENCED) if the directory is fenced."""
        if self.fenced:
            raise StorageError(
                Kind.FENCED,
                f"data dir {self.path} is fenced since a disk error: {self.fenced}. "
                "Restart once the disk is mended.",
            )

    def free_bytes(self) -> int:
        """What may still be written on the directory's file system. Raises OSError."""
        return self.files.free_bytes(self.path)

    # Stop

    def close(self, *, clean: bool = False) -> None:
        """Close all logs and give up the lock; `clean` makes the next start a quick one.

        Nobody may hold a slice any more, and no write of the mark may be in flight. A fenced
        directory is never closed clean. Raises OSError; a second call does nothing.
        """
        if self.closed:
            return
        self.closed = True
        clean = clean and not self.fenced
        try:
            for log in self.logs.values():
                log.close(clean=clean)
            if clean:
                self._write_clean_marker()
        finally:
            self.mark.close()
            self._lock.close()

    def _write_clean_marker(self) -> None:
        self.files.sync_file_system(self.path)
        for log in self.logs.values():
            if log.recovery.quarantine is None:
                self.mark.note(log.name, MarkEntry(log.topic_id, *log.durable_end()))
        self.mark.write()
        self.files.write_atomically(f"{self.path}/{CLEAN_FILE}", _clean_text(self.mark))


def is_partition_name(name: str) -> bool:
    """Whether a name is `<topic>-<partition>`."""
    topic, separator, index = name.rpartition("-")
    return bool(topic and separator and index.isascii() and index.isdigit())


def remove_tree(files: Files, path: str) -> None:
    """Remove a directory of files. Raises OSError."""
    for name in files.list_directory(path):
        child = f"{path}/{name}"
        if files.is_directory(child):
            remove_tree(files, child)
        else:
            files.unlink(child)
    files.remove_directory(path)


def _clean_text(mark: Mark) -> bytes:
    return f"version=1\nmark.generation={mark.generation}\n".encode()


def _make_directories(files: Files, path: str) -> None:
    missing = []
    while path and not files.exists(path):
        missing.append(path)
        path = posixpath.dirname(path)
    for directory in reversed(missing):
        files.make_directory(directory)
        files.sync_directory(posixpath.dirname(directory) or ".")


REASONS: Final = {
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the file system is read-only",
    errno.ENOSPC: "the disk is full",
    errno.ENOTDIR: "it is not a directory",
    errno.EEXIST: "it is not a directory",
}


def _unusable(path: str, error: OSError) -> StorageError:
    reason = REASONS.get(error.errno or 0) or (error.strerror or str(error)).lower()
    if error.errno not in REASONS and error.filename not in (None, path):
        reason = f"{error.filename}: {reason}"
    return StorageError(
        Kind.FULL if is_disk_full(error) else Kind.UNUSABLE,
        f"cannot open data dir {path}: {reason}. Mend that or choose another --data-dir.",
    )
