"""Where the memory files of one data directory live, and that nobody else made that place.

Default: `/dev/shm/logserver-<uid>-<digest of the data directory's real path>`, so that a tool
that knows the data directory finds the page without asking the server. A memory file system
matters: a mapped store into a file of the data disk can raise SIGBUS when the disk is full and
stalls behind write-back. Where /dev/shm does not exist (macOS), the temporary directory serves.

The name can be guessed, so a stranger may have made the directory first: it is used only when it
belongs to us, is no symbolic link, and is closed to others.
"""

import hashlib
import os
import stat
import tempfile

SHARED_MEMORY = "/dev/shm"
PAGE_FILE = "statistics"
PARTITIONS_FILE = "partitions"


class RuntimeDirectory:
    """The directory of the memory files; `open()` creates it, `remove()` leaves nothing behind."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    @classmethod
    def default_for(cls, data_dir: str) -> "RuntimeDirectory":
        """The place every process derives from the data directory alone."""
        root = SHARED_MEMORY if os.path.isdir(SHARED_MEMORY) else tempfile.gettempdir()
        digest = hashlib.sha256(os.path.realpath(data_dir).encode()).hexdigest()[:12]
        return cls(os.path.join(root, f"logserver-{os.getuid()}-{digest}"))

    @property
    def page_path(self) -> str:
        """The statistics page."""
        return os.path.join(self.path, PAGE_FILE)

    @property
    def partitions_path(self) -> str:
        """The per-partition figures."""
        return os.path.join(self.path, PARTITIONS_FILE)

    def open(self) -> None:
        """Create the directory if needed; raise OSError when it cannot be ours alone.

        PermissionError: someone else owns the name, or it is a link.
        """
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        found = os.lstat(self.path)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise PermissionError(
                f"runtime directory {self.path} belongs to another user. "
                "Remove it or choose another --runtime-dir."
            )

    def remove(self) -> None:
        """Remove our files and the directory, unless others put something there."""
        for path in (self.page_path, self.partitions_path):
            try:
                os.unlink(path)
            except FileNotFoundError:
                continue
        try:
            os.rmdir(self.path)
        except OSError:
            return
