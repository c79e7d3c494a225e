"""Where the memory files of one data directory live, and that nobody else made that place.

Default: `/dev/shm/logserver-<uid>-<digest of the data directory's real path>`, so that a tool
that knows the data directory finds the page without asking the server. A memory file system
matters: a mapped store into a file of the data disk can raise SIGBUS when the disk is full and
stalls behind write-back. Where /dev/shm does not exist (macOS), the temporary directory serves.

A killed server leaves its directory behind, and /dev/shm is memory: each start sweeps away what
dead servers of the same user left there. Dead is told by the lock on the page (see `page`), not by
a process id, which another container may use for something else.

The name can be guessed, so a stranger may have made the directory first: it is used only when it
belongs to us, is no symbolic link, and is closed to others.
"""

import contextlib
import fcntl
import itertools
import os
import stat

SHARED_MEMORY = "/dev/shm"
PAGE_FILE = "statistics"
PARTITIONS_FILE = "partitions"
SERIES_FILE = "series"
GROUPS_FILE = "groups"
OWN_PREFIX = f"logserver-{os.getuid()}-"
PRIME = 2**61 - 1
"""The path as one number modulo a Mersenne prime: 61 bits of digest without importing one."""
SWEEP_MAX = 200
"""Directories looked at per start: a start must not take long because of others."""


class RuntimeDirectory:
    """The directory of the memory files; `open()` creates it, `remove()` leaves nothing behind."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    @classmethod
    def default_for(cls, data_dir: str) -> "RuntimeDirectory":
        """The place every process derives from the data directory alone."""
        root = SHARED_MEMORY if os.path.isdir(SHARED_MEMORY) else os.environ.get("TMPDIR", "/tmp")
        path = os.path.realpath(data_dir).encode(errors="surrogateescape")
        return cls(os.path.join(root, f"{OWN_PREFIX}{int.from_bytes(path, 'big') % PRIME:016x}"))

    @property
    def page_path(self) -> str:
        """The statistics page."""
        return os.path.join(self.path, PAGE_FILE)

    @property
    def partitions_path(self) -> str:
        """The per-partition figures."""
        return os.path.join(self.path, PARTITIONS_FILE)

    @property
    def series_path(self) -> str:
        """The series that clients pushed."""
        return os.path.join(self.path, SERIES_FILE)

    @property
    def groups_path(self) -> str:
        """The series about groups."""
        return os.path.join(self.path, GROUPS_FILE)

    def open(self) -> None:
        """Create the directory if needed; raise OSError when it cannot be ours alone.

        PermissionError: someone else owns the name, or it is a link.
        """
        try:
            os.makedirs(self.path, mode=0o700, exist_ok=True)
        except FileExistsError:
            raise PermissionError(
                f"runtime directory {self.path} is not a directory. Choose another --runtime-dir."
            ) from None
        found = os.lstat(self.path)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise PermissionError(
                f"runtime directory {self.path} belongs to another user. "
                "Remove it or choose another --runtime-dir."
            )
        if os.path.basename(self.path).startswith(OWN_PREFIX):
            sweep(os.path.dirname(self.path), keep=self.path)

    def remove(self) -> None:
        """Remove our files and the directory, unless others put something there.

        Nothing is removed while a writer has the page mapped: a server whose data directory was
        deleted under it must not take away the files of its successor.
        """
        if os.path.exists(self.page_path) and not is_abandoned(self.page_path):
            return
        series = [
            f"{path}{suffix}"
            for path in (self.series_path, self.groups_path)
            for suffix in ("", ".new")
        ]
        for path in (self.page_path, self.partitions_path, *series):
            try:
                os.unlink(path)
            except FileNotFoundError:
                continue
        try:
            os.rmdir(self.path)
        except OSError:
            return


def sweep(root: str, *, keep: str) -> int:
    """Remove what dead servers left in `root`; how many directories that were."""
    removed = 0
    with os.scandir(root) as entries:
        ours = (entry for entry in entries if entry.name.startswith(OWN_PREFIX))
        for entry in itertools.islice(ours, SWEEP_MAX):
            if entry.path != keep and entry.is_dir(follow_symlinks=False):
                runtime = RuntimeDirectory(entry.path)
                if is_abandoned(runtime.page_path):
                    runtime.remove()
                    removed += 1
    return removed


def is_abandoned(page_path: str) -> bool:
    """Whether a page exists that no living writer has mapped."""
    with contextlib.suppress(OSError):
        fd = os.open(page_path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(fd)
        return True
    return False
