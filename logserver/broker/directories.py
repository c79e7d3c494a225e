"""After a start: make the partition directories agree with the metadata log, which is right.

Creating or deleting a topic takes two steps on the disk, a record and the directories, and a power
cut keeps any mixture of what was not synced. So the directories are compared with the image before
any of them is opened:

    directory                    its topic id       the image        action
    ---------------------------  -----------------  ---------------  ----------------------------
    <topic>-<n>                  this topic's       has <topic>-<n>  keep
    <topic>-<n>                  none yet           has <topic>-<n>  keep; set aside if nothing is
                                                                     written: the fifth line's may
                                                                     be this one's, or it is made
                                                                     anew
    <topic>-<n>                  another, or none   (any)            set aside, its space is freed
    <topic>-<n>                  none, not empty    has it not       leave: nobody says it is ours
    <topic>-<n>.<id>-delete      of a live topic    has <topic>-<n>  rename back: the removal's
                                                                     record was never durable
    <topic>-<n>.<id>-delete      any other          (any)            its space is freed

What is left over after this is disowned: a partition of a live topic may be made again under the
same name and id (its making was lost, and with it the directory), and must not find old bytes.

The first three lines make sure that a recreated topic never shows old bytes, the fifth that a
deletion happened wholly or not at all.

Before anything is touched, the metadata log itself must be credible. If it is quarantined, or empty
beside directories that carry topic ids, its image lacks topics that exist, and this table would
delete their records. Such a directory is refused.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from logserver.broker.metadata_log import METADATA_TOPIC, corrupt
from logserver.storage import checkpoint
from logserver.storage.creation import TEMPORARY_SUFFIX
from logserver.storage.failure import Kind, StorageError
from logserver.storage.maintenance import DELETED_SUFFIX, NAME_BYTES_MAX, deleted_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from logserver.broker.image import Image
    from logserver.storage.directory import LogDirectory
    from logserver.storage.log import Log

logger = logging.getLogger(__name__)

METADATA_DIRECTORY = f"{METADATA_TOPIC}-0"


def require_credible(directory: LogDirectory, metadata: Log) -> None:
    """Refuse a log directory whose metadata log cannot speak for it. Raises StorageError, OSError.

    To be called before the first record is appended to an empty metadata log.
    """
    quarantine = metadata.recovery.quarantine
    if quarantine is not None:
        raise corrupt(metadata, quarantine.offset, quarantine.why)
    if metadata.end_offset > 0:
        return
    owned = [
        name
        for name, topic_id in directory.partition_directories().items()
        if topic_id is not None and name != METADATA_DIRECTORY
    ]
    if owned:
        raise StorageError(
            Kind.CORRUPT,
            f"{directory.path} has partition directories ({owned[0]}, {len(owned)} in all) but an "
            f"empty {METADATA_DIRECTORY}. Restore that directory from a copy, or choose another "
            "--data-dir.",
        )


def reconcile(directory: LogDirectory, image: Image, now_ms: int) -> None:
    """Carry out the table above. Raises OSError."""
    owned = {
        f"{topic.name}-{index}": topic.topic_id
        for topic in image.topics.values()
        for index in topic.partitions
    }
    present = directory.partition_directories()
    present.pop(METADATA_DIRECTORY, None)
    for name, topic_id in list(present.items()):
        if topic_id is None and name in owned:
            if is_unwritten(directory, name):
                directory.discard(name, now_ms)  # one with records may be among the leftovers
                del present[name]
        elif topic_id is None and not _is_empty(directory, name):
            logger.warning("%s/%s has no topic id: left as it is", directory.path, name)
        elif topic_id is None or topic_id != owned.get(name):
            logger.warning("%s belongs to no topic: its space is freed", name)
            directory.discard(name, now_ms)
            del present[name]
    for leftover in list(directory.leftovers):
        former = _name_before(leftover, owned)
        if former is None or former in present:
            directory.disown(leftover)
        elif _restore(directory, leftover, former, owned[former]):
            present[former] = owned[former]
        else:
            directory.disown(leftover)


def _name_before(leftover: str, owned: Mapping[str, bytes]) -> str | None:
    """The partition directory that was renamed to this, if it may be one of a live topic."""
    name, _, tail = leftover.rpartition(".")
    if name in owned:
        return name
    if len(leftover) < NAME_BYTES_MAX:
        return None
    unique = tail.removesuffix(DELETED_SUFFIX)  # a long name was cut
    return next((long for long in owned if deleted_name(long, unique) == leftover), None)


def _is_empty(directory: LogDirectory, name: str) -> bool:
    """Whether nothing is in a directory, or only files that never got their names."""
    names = directory.files.list_directory(f"{directory.path}/{name}")
    return all(file.endswith(TEMPORARY_SUFFIX) for file in names)


def is_unwritten(directory: LogDirectory, name: str) -> bool:
    """Whether a directory has nothing but what is written before the first record."""
    names = directory.files.list_directory(f"{directory.path}/{name}")
    return all(file.endswith(TEMPORARY_SUFFIX) or file == checkpoint.EPOCHS_FILE for file in names)


def _restore(directory: LogDirectory, leftover: str, name: str, topic_id: bytes) -> bool:
    """Rename a deleted log's directory back if it is the one of this live topic."""
    files, path = directory.files, directory.path
    try:
        found = checkpoint.read_topic_id(files, f"{path}/{leftover}")
    except checkpoint.CheckpointError:
        return False
    if found != topic_id:
        return False
    logger.warning("the deletion of %s was never completed: it is kept", name)
    files.rename(f"{path}/{leftover}", f"{path}/{name}")
    files.sync_directory(path)
    directory.leftovers.remove(leftover)
    return True
