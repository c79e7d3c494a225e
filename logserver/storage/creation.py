"""Many new partition directories at once, with two waits for the device instead of five for each.

A partition directory is made durable step by step: its name, the topic id in it, the first leader
epoch, each by its own sync (`opening.prepare_directory`). That is right for one partition and
13 ms on a slow disk; for a topic of a thousand it would hold the loop for 13 seconds. Here the same
steps are taken side by side:

    make every directory, write every file under a temporary name      (no sync)
    sync the file system
    rename every file                                                  (no sync)
    sync the file system

A file therefore never has its name before its content is on the device, as with `write_atomically`.
What a power cut leaves of it is a directory with or without its files: `Log.open` completes it if
its topic exists, and `broker.directories` removes it if not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from . import checkpoint
from .checkpoint import LeaderEpochs
from .files import Files

TEMPORARY_SUFFIX: Final = ".tmp"  # as `Files.write_atomically`

# One sync of the whole file system also waits for what others have written. From this many
# partitions on it is cheaper than five small ones for each.
SIDE_BY_SIDE_COUNT_MIN: Final = 4


def make_directories(files: Files, path: str, topic_ids: Mapping[str, bytes]) -> None:
    """Make the partition directories of a log directory, durably; leave existing ones.

    `topic_ids`: partition directory name -> 16 bytes. Raises OSError; what was made until then
    stays, and does no harm.
    """
    first_epoch = LeaderEpochs()
    first_epoch.assign(0, 0)
    made = []
    for name, topic_id in topic_ids.items():
        directory = f"{path}/{name}"
        if files.is_directory(directory):
            continue
        files.make_directory(directory)
        made += [
            (f"{directory}/{checkpoint.EPOCHS_FILE}", checkpoint.encode_epochs(first_epoch)),
            (f"{directory}/{checkpoint.METADATA_FILE}", checkpoint.encode_metadata(topic_id)),
        ]
    for file_path, content in made:
        file = files.open(file_path + TEMPORARY_SUFFIX, create=True)
        try:
            file.pwrite(content, 0)
        finally:
            file.close()
    files.sync_file_system(path)
    for file_path, _ in made:
        files.rename(file_path + TEMPORARY_SUFFIX, file_path)
    files.sync_file_system(path)
