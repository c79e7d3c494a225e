"""The two small text files of Kafka's partition directory, and the leader epochs one of them holds.

`leader-epoch-checkpoint` (Kafka's `LeaderEpochCheckpointFile`): version, count, one line per epoch.

    0
    2
    0 0          epoch 0 began at offset 0
    3 812        epoch 3 began at offset 812

`partition.metadata` (Kafka's `PartitionMetadataFile`): the topic's id, so that a directory left by
a deleted topic is never taken for that of a new topic with the same name.

    version: 0
    topic_id: 0WBmyuQaT0S9JWOlAPCbsA

Both are written whole (temporary file, sync, rename, sync of the directory) and before the first
byte that depends on them. An epoch file that cannot be read is rebuilt from the batches, each of
which carries its epoch; a topic id cannot be rebuilt and its loss is an error.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Container
from random import Random
from typing import Final, NamedTuple

from .files import Files

EPOCHS_FILE: Final = "leader-epoch-checkpoint"
METADATA_FILE: Final = "partition.metadata"
TOPIC_ID_BYTES: Final = 16
UNDEFINED: Final = (-1, -1)  # Kafka's UNDEFINED_EPOCH, UNDEFINED_EPOCH_OFFSET


class CheckpointError(ValueError):
    """A checkpoint file that must not be believed; the message says why."""


class EpochStart(NamedTuple):
    """A leader epoch and the offset of the first batch that may carry it."""

    epoch: int
    start_offset: int


class LeaderEpochs:
    """Where each leader epoch of a partition began (Kafka's `LeaderEpochFileCache`).

    Invariant: epochs and start offsets both rise strictly.
    """

    __slots__ = ("starts",)

    def __init__(self, starts: list[EpochStart] | None = None) -> None:
        self.starts: list[EpochStart] = []
        for start in starts or []:
            if self.starts and not (
                start.epoch > self.starts[-1].epoch
                and start.start_offset > self.starts[-1].start_offset
            ):
                raise CheckpointError(f"leader epoch {start.epoch} does not follow the one before")
            self.starts.append(start)

    @property
    def latest(self) -> int:
        """The present epoch, -1 before the first."""
        return self.starts[-1].epoch if self.starts else -1

    def assign(self, epoch: int, start_offset: int) -> None:
        """Begin `epoch` at `start_offset`; what began later or has a higher epoch is forgotten."""
        if self.starts and self.starts[-1].epoch == epoch:
            return
        self.starts = [s for s in self.starts if s.epoch < epoch and s.start_offset < start_offset]
        self.starts.append(EpochStart(epoch, start_offset))

    def cut_end(self, end_offset: int) -> None:
        """Forget the epochs that began at or after the log's new end."""
        self.starts = [s for s in self.starts if s.start_offset < end_offset]

    def cut_start(self, log_start_offset: int) -> None:
        """Forget the epochs that ended before the log's new start; the one there begins with it."""
        before = [s for s in self.starts if s.start_offset <= log_start_offset]
        if before and before[-1].start_offset < log_start_offset:
            after = self.starts[len(before) :]
            self.starts = [EpochStart(before[-1].epoch, log_start_offset), *after]
        elif len(before) > 1:
            self.starts = self.starts[len(before) - 1 :]

    def epoch_at(self, offset: int) -> int:
        """The epoch in which the batch at `offset` was appended, -1 where that is not known."""
        epoch = -1
        for start in self.starts:
            if start.start_offset > offset:
                break
            epoch = start.epoch
        return epoch

    def end_offset_for(self, epoch: int, end_offset: int) -> tuple[int, int]:
        """Answer OffsetForLeaderEpoch: (largest epoch <= `epoch`, the offset where it ended).

        As Kafka's `endOffsetFor`: the latest epoch ends at the log end offset; (-1, -1) for an
        epoch above the latest; an epoch before the first answers itself and the first's start.
        """
        if epoch < 0 or not self.starts or epoch > self.latest:
            return UNDEFINED
        if epoch == self.latest:
            return epoch, end_offset
        floor = epoch
        for start in self.starts:
            if start.epoch > epoch:
                return floor, start.start_offset
            floor = start.epoch
        raise AssertionError("an epoch below the latest has a later one")


def encode_epochs(epochs: LeaderEpochs) -> bytes:
    """The bytes of `leader-epoch-checkpoint`."""
    lines = ["0", str(len(epochs.starts))]
    lines += [f"{start.epoch} {start.start_offset}" for start in epochs.starts]
    return ("\n".join(lines) + "\n").encode()


def decode_epochs(data: bytes) -> LeaderEpochs:
    """Read `leader-epoch-checkpoint`; an empty file means no epoch yet, as in Kafka.

    Raises CheckpointError.
    """
    lines = data.decode("ascii", "replace").split("\n")
    if lines[-1] != "":
        raise CheckpointError("leader-epoch-checkpoint ends within a line")
    del lines[-1]
    if not lines:
        return LeaderEpochs()
    if _number(lines[0]) != 0:
        raise CheckpointError(
            f"leader-epoch-checkpoint has version {lines[0]}, this server reads 0"
        )
    if len(lines) < 2 or _number(lines[1]) != len(lines) - 2:
        raise CheckpointError("leader-epoch-checkpoint does not hold as many lines as it says")
    starts = []
    for line in lines[2:]:
        epoch, separator, start_offset = line.partition(" ")
        if not separator:
            raise CheckpointError(f"leader-epoch-checkpoint: malformed line {line!r}")
        starts.append(EpochStart(_number(epoch), _number(start_offset)))
    return LeaderEpochs(starts)


def encode_metadata(topic_id: bytes) -> bytes:
    """The bytes of `partition.metadata`."""
    return f"version: 0\ntopic_id: {format_uuid(topic_id)}".encode()


def decode_metadata(data: bytes) -> bytes:
    """Read the topic id of `partition.metadata`. Raises CheckpointError."""
    fields = {}
    for line in data.decode("ascii", "replace").split("\n"):
        key, separator, value = line.partition(": ")
        if separator:
            fields[key] = value
    if fields.get("version") != "0":
        raise CheckpointError("partition.metadata has no version that this server reads (0)")
    return parse_uuid(fields.get("topic_id", ""))


def read_epochs(files: Files, directory: str) -> LeaderEpochs | None:
    """The epochs of a partition directory; None where the file is absent or not to be believed."""
    try:
        return decode_epochs(files.read_file(f"{directory}/{EPOCHS_FILE}"))
    except (FileNotFoundError, CheckpointError):
        return None


def write_epochs(files: Files, directory: str, epochs: LeaderEpochs) -> None:
    """Replace the epochs of a partition directory, durably."""
    files.write_atomically(f"{directory}/{EPOCHS_FILE}", encode_epochs(epochs))


def read_topic_id(files: Files, directory: str) -> bytes | None:
    """The topic id of a partition directory, None where there is none. Raises CheckpointError."""
    try:
        return decode_metadata(files.read_file(f"{directory}/{METADATA_FILE}"))
    except FileNotFoundError:
        return None


def write_topic_id(files: Files, directory: str, topic_id: bytes) -> None:
    """Write the topic id of a new partition directory, durably."""
    files.write_atomically(f"{directory}/{METADATA_FILE}", encode_metadata(topic_id))


def new_uuid(random: Random, taken: Container[bytes] = ()) -> bytes:
    """A random UUID (version 4) that nobody has.

    As Kafka's, its text does not begin with a dash: command lines take that for an option.
    """
    while True:
        raw = bytearray(random.randbytes(TOPIC_ID_BYTES))
        raw[6] = raw[6] & 0x0F | 0x40
        raw[8] = raw[8] & 0x3F | 0x80
        uuid = bytes(raw)
        if uuid not in taken and not format_uuid(uuid).startswith("-"):
            return uuid


def format_uuid(uuid: bytes) -> str:
    """Kafka's text of a UUID: URL-safe base64 without padding, 22 characters."""
    assert len(uuid) == TOPIC_ID_BYTES
    return base64.urlsafe_b64encode(uuid).rstrip(b"=").decode()


def parse_uuid(text: str) -> bytes:
    """The 16 bytes of Kafka's UUID text. Raises CheckpointError."""
    try:
        uuid = base64.b64decode(text.encode("ascii") + b"==", b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise CheckpointError(f"{text!r} is not a UUID as Kafka writes it") from error
    if len(uuid) != TOPIC_ID_BYTES or format_uuid(uuid) != text:
        raise CheckpointError(f"{text!r} is not a UUID as Kafka writes it")
    return uuid


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise CheckpointError(f"{text!r} is not a number")
    return int(text)
