"""A file system in memory, and one that can lose power.

`MemoryFiles` behaves like the real one, faster. `RecordingFiles` also remembers what no sync has
covered yet, so that it can build any state a power cut may legally leave:

    live state          what the process sees
    durable state       what the last datasync / sync_directory made permanent
    pending             the operations between the two, in order, per file and per directory

A power cut keeps the durable state and decides for each pending operation on its own: in or out.
A write is torn at 512 bytes, the sector a device writes whole. Size and data are independent (data
without its size is lost, a size without its data reads as zeros), and so are names: a file may be
complete and have no name, or a name and no bytes. A rename is one operation. What these rules
leave out, no file system promises.
"""

from __future__ import annotations

import errno
import os
from random import Random

from .files import Buffer, File, Files, LockedError, Pin

SECTOR_BYTES = 512
NAME_BYTES_MAX = 255


class Inode:
    """A file's bytes, apart from its names."""

    __slots__ = ("data", "durable", "locked", "pending")

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.durable = bytes(data)
        self.pending: list[tuple[int, bytes] | int] = []  # a write at a position, or a new size
        self.locked = False


class Directory:
    """Names of files and directories, and the changes of names that no sync has covered."""

    __slots__ = ("durable", "names", "pending")

    def __init__(self) -> None:
        self.names: dict[str, Inode | Directory] = {}
        self.durable: dict[str, Inode | Directory] = {}
        self.pending: list[tuple[str | None, str | None, Inode | Directory]] = []  # from, to, what


class MemoryFile(File):
    """An open file of `MemoryFiles`."""

    __slots__ = ("_files", "inode", "locking", "path", "writable")

    def __init__(self, files: MemoryFiles, path: str, inode: Inode, writable: bool) -> None:
        self._files = files
        self.path = path
        self.inode = inode
        self.writable = writable
        self.locking = False

    def fileno(self) -> int:
        raise OSError(errno.EBADF, "a file in memory has no descriptor", self.path)

    def pwrite(self, data: Buffer, position: int) -> None:
        self._check_writable()
        content = self.inode.data
        end = position + len(data)
        self._files.reserve(end - len(content))
        if len(content) < position:
            content.extend(bytes(position - len(content)))
        content[position:end] = data
        self._files.note_write(self.inode, position, data)

    def pread(self, size_bytes: int, position: int) -> bytes:
        return bytes(self.inode.data[position : position + size_bytes])

    def size(self) -> int:
        return len(self.inode.data)

    def datasync(self) -> None:
        self._files.note_datasync(self.inode)

    def allocate(self, position: int, size_bytes: int) -> None:
        if position + size_bytes > self.size():
            self._resize(position + size_bytes)

    def truncate(self, size_bytes: int) -> None:
        self._resize(size_bytes)

    def map(self) -> memoryview:
        return memoryview(bytes(self.inode.data))

    def dontneed(self, position: int, size_bytes: int) -> None:
        """Do nothing: there is no cache below memory."""

    def resident_bytes(self, position: int, size_bytes: int) -> int | None:
        return max(0, min(size_bytes, self.size() - position))

    def close(self) -> None:
        if self.locking:
            self.inode.locked = self.locking = False

    def _resize(self, size_bytes: int) -> None:
        self._check_writable()
        content = self.inode.data
        self._files.reserve(size_bytes - len(content))
        if size_bytes < len(content):
            del content[size_bytes:]
        else:
            content.extend(bytes(size_bytes - len(content)))
        self._files.note_size(self.inode, size_bytes)

    def _check_writable(self) -> None:
        if not self.writable:
            raise OSError(errno.EBADF, "opened for reading", self.path)


class MemoryFiles(Files):
    """A file system in memory with an optional limit on the bytes of all files."""

    def __init__(self, capacity_bytes: int | None = None) -> None:
        self.root = Directory()
        self.capacity_bytes = capacity_bytes
        self._pinned: dict[str, Directory] = {}
        self._pins_count = 0

    def pin(self, path: str) -> Pin:
        directory = self._directory(path)
        self._pins_count += 1
        name = f"#{self._pins_count}"
        self._pinned[name] = directory
        return Pin(name, lambda: self._pinned.pop(name, None))

    def open(self, path: str, *, create: bool = False, write: bool = True) -> MemoryFile:
        directory, name = self._parent(path)
        node = directory.names.get(name)
        if node is None:
            if not create:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            node = Inode()
            directory.names[name] = node
            self.note_name(directory, None, name, node)
        if isinstance(node, Directory):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        return MemoryFile(self, path, node, write)

    def exists(self, path: str) -> bool:
        return self._find(path) is not None

    def is_directory(self, path: str) -> bool:
        return isinstance(self._find(path), Directory)

    def list_directory(self, path: str) -> list[str]:
        return sorted(self._directory(path).names)

    def make_directory(self, path: str) -> None:
        directory, name = self._parent(path)
        if name in directory.names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        node = Directory()
        directory.names[name] = node
        self.note_name(directory, None, name, node)

    def rename(self, source: str, target: str) -> None:
        directory, name = self._parent(source)
        target_directory, target_name = self._parent(target)
        if directory is not target_directory:
            raise OSError(errno.EXDEV, "rename between directories is not used here", source)
        node = self._existing(source)
        replaced = directory.names.get(target_name)
        if isinstance(replaced, Directory) and replaced.names:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), target)
        del directory.names[name]
        directory.names[target_name] = node
        self.note_name(directory, name, target_name, node)

    def unlink(self, path: str) -> None:
        directory, name = self._parent(path)
        node = self._existing(path)
        if isinstance(node, Directory):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        del directory.names[name]
        self.note_name(directory, name, None, node)

    def remove_directory(self, path: str) -> None:
        directory, name = self._parent(path)
        node = self._directory(path)
        if node.names:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
        del directory.names[name]
        self.note_name(directory, name, None, node)

    def sync_directory(self, path: str) -> None:
        directory = self._directory(path)
        directory.durable = dict(directory.names)
        directory.pending.clear()

    def lock(self, path: str, content: str) -> MemoryFile:
        file = self.open(path, create=True)
        if file.inode.locked:
            raise LockedError(path, bytes(file.inode.data).decode("utf-8", "replace"))
        file.inode.locked = file.locking = True
        file.truncate(0)
        file.pwrite(content.encode(), 0)
        return file

    def sync_file_system(self, path: str) -> None:  # noqa: ARG002 - one disk
        self._sync(self.root)

    def _sync(self, directory: Directory) -> None:
        directory.durable = dict(directory.names)
        directory.pending.clear()
        for node in directory.names.values():
            if isinstance(node, Directory):
                self._sync(node)
            else:
                self.note_datasync(node)

    def free_bytes(self, path: str) -> int:  # noqa: ARG002 - one disk
        return 1 << 62 if self.capacity_bytes is None else self.capacity_bytes - self.used_bytes()

    def file_size(self, path: str) -> int:
        node = self._existing(path)
        return len(node.data) if isinstance(node, Inode) else 0

    def used_bytes(self) -> int:
        """Return the bytes of all named files."""
        return _used_bytes(self.root)

    def reserve(self, growth_bytes: int) -> None:
        """Raise ENOSPC when a file may not grow by that much."""
        if self.capacity_bytes is not None and growth_bytes > self.free_bytes(""):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def note_write(self, inode: Inode, position: int, data: Buffer) -> None:
        """Learn of a write (only a layer that loses power cares)."""

    def note_size(self, inode: Inode, size_bytes: int) -> None:
        """Learn of a new size."""

    def note_datasync(self, inode: Inode) -> None:
        """Learn that a file's data and size are durable."""

    def note_name(
        self, directory: Directory, source: str | None, target: str | None, node: Inode | Directory
    ) -> None:
        """Learn of a name created (no source), removed (no target) or changed."""

    def _find(self, path: str) -> Inode | Directory | None:
        parts = _parts(path)
        node: Inode | Directory | None = self._pinned.get(parts[0]) if parts else None
        if node is None:
            node = self.root
        else:
            del parts[0]
        for part in parts:
            node = node.names.get(part) if isinstance(node, Directory) else None
        return node

    def _existing(self, path: str) -> Inode | Directory:
        node = self._find(path)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return node

    def _directory(self, path: str) -> Directory:
        node = self._existing(path)
        if not isinstance(node, Directory):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return node

    def _parent(self, path: str) -> tuple[Directory, str]:
        parts = _parts(path)
        if len(parts[-1].encode()) > NAME_BYTES_MAX:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
        return self._directory("/".join(parts[:-1])), parts[-1]


class RecordingFiles(MemoryFiles):
    """A file system that knows what a power cut may take; see the module's docstring."""

    def note_write(self, inode: Inode, position: int, data: Buffer) -> None:
        inode.pending.append((position, bytes(data)))

    def note_size(self, inode: Inode, size_bytes: int) -> None:
        inode.pending.append(size_bytes)

    def note_datasync(self, inode: Inode) -> None:
        inode.durable = bytes(inode.data)
        inode.pending.clear()

    def note_name(
        self, directory: Directory, source: str | None, target: str | None, node: Inode | Directory
    ) -> None:
        directory.pending.append((source, target, node))

    def pending_count(self) -> int:
        """Return how many operations a power cut would decide about."""
        return _pending_count(self.root, set())

    def power_cut(self, random: Random) -> MemoryFiles:
        """Return one of the legal states after a power cut, chosen by `random`.

        A third of the cuts loses everything pending, or nothing: both ends are worth meeting
        often. The recording itself goes on unchanged, so one run can be cut many times.
        """
        files = RecordingFiles(self.capacity_bytes)
        chance = random.choice((0.0, 1.0, 0.1, 0.5, 0.5, 0.9))
        files.root = _cut_directory(self.root, random, chance, {})
        return files


def _cut_directory(
    directory: Directory, random: Random, chance: float, done: dict[int, Inode | Directory]
) -> Directory:
    names = dict(directory.durable)
    for source, target, node in directory.pending:
        if random.random() >= chance:
            continue
        if source is not None and names.get(source) is node:
            del names[source]
        if target is not None:
            _forget(names, node)  # a rename whose creation was lost leaves one name, not two
            names[target] = node
    result = Directory()
    for name, node in names.items():
        if id(node) not in done:
            done[id(node)] = (
                _cut_directory(node, random, chance, done)
                if isinstance(node, Directory)
                else Inode(_cut_file(node, random, chance))
            )
        result.names[name] = done[id(node)]
    result.durable = dict(result.names)
    return result


def _forget(names: dict[str, Inode | Directory], node: Inode | Directory) -> None:
    for name in [name for name, other in names.items() if other is node]:
        del names[name]


def _cut_file(inode: Inode, random: Random, chance: float) -> bytes:
    """Apply the pending writes sector by sector, then choose one of the sizes it has had."""
    content = bytearray(inode.durable)
    sizes = [len(content)]
    for operation in inode.pending:
        if isinstance(operation, int):
            sizes.append(operation)
            if operation < len(content) and random.random() < chance:
                content[operation:] = bytes(len(content) - operation)
            continue
        position, data = operation
        sizes.append(max(sizes[-1], position + len(data)))
        if len(content) < sizes[-1]:
            content.extend(bytes(sizes[-1] - len(content)))
        _cut_write(content, position, data, random, chance)
    size = sizes[-1] if random.random() < chance else random.choice(sizes)
    if size < len(content):
        return bytes(content[:size])
    return bytes(content) + bytes(size - len(content))


def _cut_write(
    content: bytearray, position: int, data: bytes, random: Random, chance: float
) -> None:
    whole = random.random()
    start = position
    end = position + len(data)
    while start < end:
        stop = min(end, (start // SECTOR_BYTES + 1) * SECTOR_BYTES)
        keep = whole < chance if whole < 0.5 else random.random() < chance
        if keep:
            content[start:stop] = data[start - position : stop - position]
        start = stop


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _used_bytes(directory: Directory) -> int:
    return sum(
        _used_bytes(node) if isinstance(node, Directory) else len(node.data)
        for node in directory.names.values()
    )


def _pending_count(directory: Directory, seen: set[int]) -> int:
    count = len(directory.pending)
    for node in directory.names.values():
        if isinstance(node, Directory):
            count += _pending_count(node, seen)
        elif id(node) not in seen:
            seen.add(id(node))
            count += len(node.pending)
    return count
