"""A disk whose syncs fail once and then lie, as Linux does (fsync study, USENIX ATC 2020).

The failed `datasync` reports the error; the pages that it could not write are marked clean, so the
next one succeeds without them, and the page cache still shows them. Only a reader that has the
range dropped from the page cache (`dontneed`) sees what the device has. A server that retries a
sync, or trusts what it reads after a restart, acknowledges or shows records that are not there.
"""

from __future__ import annotations

import errno
import os

from logserver.storage.failure import StorageError
from logserver.storage.log import FencedError
from logserver.storage.simulated_files import Inode, MemoryFile
from tests.simulation.power import CuttingFiles, Run


class SickFiles(CuttingFiles):
    """Fails the first sync of a file at or behind operation `sick_at`."""

    def __init__(self, capacity_bytes: int | None = None) -> None:
        super().__init__(capacity_bytes)
        self.sick_at = -1
        self.failures_count = 0

    def open(self, path: str, *, create: bool = False, write: bool = True) -> MemoryFile:
        file = super().open(path, create=create, write=write)
        return DroppableFile(self, path, file.inode, write)

    def note_datasync(self, inode: Inode) -> None:
        self.count()
        if 0 <= self.sick_at <= self.operations_count and inode.pending:
            self.sick_at = -1
            self.failures_count += 1
            inode.pending.clear()
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        on_device = bytearray(inode.durable)
        for operation in inode.pending:
            apply(on_device, operation)
        inode.durable = bytes(on_device)
        inode.pending.clear()


class DroppableFile(MemoryFile):
    """A file whose clean pages can be dropped: what remains is what the device has."""

    __slots__ = ()

    def dontneed(self, position: int, size_bytes: int) -> None:
        inode = self.inode
        end = len(inode.data) if size_bytes == 0 else position + size_bytes
        on_device = bytearray(inode.durable)
        for operation in inode.pending:  # dirty pages stay
            apply(on_device, operation)
        on_device.extend(bytes(max(0, len(inode.data) - len(on_device))))
        inode.data[position:end] = on_device[position:end]


def apply(content: bytearray, operation: tuple[int, bytes] | int) -> None:
    """Carry one recorded operation out."""
    if isinstance(operation, int):
        del content[operation:]
        content.extend(bytes(operation - len(content)))
        return
    position, data = operation
    content.extend(bytes(max(0, position + len(data) - len(content))))
    content[position : position + len(data)] = data


class SickRun(Run):
    """A run on a disk that falls ill once, with the broker's answers to errors."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.sick = SickFiles()
        self.files = self.sick

    def fall_ill(self, operations_max: int) -> None:
        """Work until a sync fails, then go on for a while: nothing more may be acknowledged."""
        self.start()
        for _ in range(self.random.randint(0, 60)):
            self.work()
        self.finish_commit()
        self.directory.close()
        self.sick.sick_at = self.sick.operations_count + self.random.randint(1, operations_max)
        try:
            self.start()
        except StorageError:  # recovery's own sync failed; the directory was not served
            self.directory.close()
            return
        while not self.sick.failures_count:
            self.work()
        self.finish_commit()  # in flight when another file fell ill: its own sync tells the truth
        acknowledged = {p.name: p.acknowledged_offset for p in self.partitions.values()}
        for _ in range(40):
            self.work()
        if self.directory.fenced:
            for partition in self.partitions.values():
                assert partition.acknowledged_offset == acknowledged[partition.name]
        self.finish_commit()
        self.directory.close()

    def restart(self) -> None:
        """The process starts again on the machine that still has its page cache."""
        self.tasks.clear()
        self.sick.sick_at = -1
        self.start()

    # The broker's answers to errors

    def append(self) -> None:
        try:
            super().append()
        except FencedError:
            assert self.directory.fenced or self.sick.failures_count
        except OSError as error:  # the sync of a roll's small file
            self.directory.fence(error)

    def finish_commit(self) -> None:
        try:
            for task in self.tasks:
                task.run()
        except OSError as error:
            for task in self.tasks:
                task.log.synced(task, error)
            self.tasks.clear()
            self.directory.fence(error)
        self.publish()

    def run_chore(self, run: object) -> object:
        """What a helper thread hands back."""
        try:
            return run()  # type: ignore[operator]
        except OSError as error:
            return error

    def maintain(self) -> None:
        for log in self.directory.logs.values():
            if log.wants_maintenance:
                for run, finish in log.maintenance():
                    finish(self.run_chore(run))

    def write_mark(self) -> None:
        write = self.directory.begin_mark(self.now_ms, force=True)
        if write is not None:
            result = self.run_chore(write.run)
            self.directory.mark_written(result if isinstance(result, OSError) else None)

    def retain(self) -> None:
        try:
            super().retain()
        except OSError as error:
            self.directory.fence(error)

    def stop(self) -> None:
        """No clean stops here: they would hide what is looked for."""
