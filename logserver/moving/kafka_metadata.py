"""What Kafka's own metadata log says of topics: names, ids, partitions, configuration.

    __cluster_metadata-0/
        00000000000000000593-0000000002.checkpoint    the state as of offset 593, as records
        00000000000000000000.log                      the records, from some offset on

The newest checkpoint is applied, then every batch of the log that begins at or behind it. Records
of other kinds (brokers, access control, quotas) are counted and left out.

Source: KIP-630 (snapshots), KIP-631 (records).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

from logserver.broker.image import Image
from logserver.storage.failure import Kind, StorageError
from logserver.storage.files import File, Files
from logserver.storage.recovery import segment_base_offsets
from logserver.storage.scan import Found, Header, walk
from logserver.storage.segment import segment_path
from logwire.batch import CONTROL, LENGTH_OVERHEAD_BYTES, decode_batch
from logwire.errors import ProtocolError
from logwire.messages import decode_record
from logwire.primitives import read_uvarint

CHECKPOINT: Final = re.compile(r"(\d{20})-\d{10}\.checkpoint")
# Keys of records: what topics are made of, and what somebody may miss (common/metadata/*.json).
WANTED: Final = frozenset((2, 3, 4, 9, 15))
TOLD: Final = {11: "SCRAM credentials", 14: "client quotas", 18: "access control entries"}
ATTRIBUTES: Final = 5  # of a header's fields


class KafkaMetadata(NamedTuple):
    """The image of what is wanted, and how many records of which other kind there were."""

    image: Image
    left_out: Counter[str]


def read_metadata(files: Files, path: str) -> KafkaMetadata:
    """Read a metadata log. Raises StorageError (CORRUPT, FORMAT), OSError."""
    found = KafkaMetadata(Image(), Counter())
    after_offset = 0
    names = files.list_directory(path)
    checkpoints = [match for match in map(CHECKPOINT.fullmatch, names) if match]
    if checkpoints:
        newest = checkpoints[-1]  # names are sorted
        after_offset = int(newest.group(1))
        _read(files, f"{path}/{newest.group()}", 0, 0, found, last=False)
    bases = segment_base_offsets(files, path)
    for base in bases:
        segment = segment_path(path, base)
        _read(files, segment, base, after_offset, found, last=base == bases[-1])
    return found


def _read(
    files: Files,
    path: str,
    base_offset: int,
    after_offset: int,
    found: KafkaMetadata,
    *,
    last: bool,
) -> None:
    """Apply a checkpoint or a segment; only the last one may end in what was not yet written."""
    file = files.open(path, write=False)
    try:
        observe = _applier(file, after_offset, found)
        stop = walk(file, 0, file.size(), base_offset, -1, observe, checked=True, sparse=True)
    except ProtocolError as error:
        raise StorageError(Kind.FORMAT, f"{path} cannot be read: {error}.") from error
    finally:
        file.close()
    if stop.found is Found.UNREADABLE or not (last or stop.found in (Found.END, Found.ZEROS)):
        raise StorageError(
            Kind.CORRUPT,
            f"{path} is damaged at byte {stop.position}: {stop.why}. Topics may be "
            "missing. Start Kafka once and see what it says.",
        )


def _applier(file: File, after_offset: int, found: KafkaMetadata) -> Callable[[int, Header], None]:
    def apply(position: int, header: Header) -> None:
        if header[0] < after_offset or header[ATTRIBUTES] & CONTROL:
            return
        batch = file.pread(header[1] + LENGTH_OVERHEAD_BYTES, position)
        for record in decode_batch(batch):
            if record.value is not None:
                _apply(record.value, found)

    return apply


def _apply(value: bytes, found: KafkaMetadata) -> None:
    view = memoryview(value)
    key = read_uvarint(view, read_uvarint(view, 0)[1])[0]
    if key in TOLD:
        found.left_out[TOLD[key]] += 1
    if key in WANTED:
        name, _, fields = decode_record(view)
        found.image.apply(name, fields)
