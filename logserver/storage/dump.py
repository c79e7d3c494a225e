"""Every file of a log directory in words: one mapping per batch, entry or line.

`describe(files, path)` looks at the file's name and yields mappings that a person reads in a table
and a program reads as JSON: integers, strings, booleans, None and lists of them; bytes of records
come as text where they are UTF-8 and as `0x...` where not. A file that is spoilt is described as
far as it can be read and ends with a mapping `{"error": sentence}`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from typing import Any, Final

from logwire.batch import (
    CODEC_MASK,
    CONTROL,
    HEADER_BYTES,
    LENGTH_OVERHEAD_BYTES,
    LOG_APPEND_TIME,
    TRANSACTIONAL,
    decode_batch,
    verify_batch,
)
from logwire.compression import CODECS
from logwire.errors import ProtocolError

from . import checkpoint, producers, quarantine, retention
from .checkpoint import CheckpointError, format_uuid
from .digest import DIGEST_SUFFIX, DigestError, decode_digest
from .files import File, Files
from .identity import IDENTITY_FILE
from .index import OffsetIndex, TimeIndex
from .mark import MARK_FILE, decode_file
from .producer_files import OFFSET_DIGITS, SNAPSHOT_SUFFIX, WINDOW_SUFFIX
from .producers import ProducerStates, SnapshotError
from .scan import Header, Stop, all_zeros, walk

Row = dict[str, Any]


class UnknownFileError(ValueError):
    """A file whose name says nothing to us; the message lists what does."""


def describe(files: Files, path: str, *, records: bool = False) -> Iterator[Row]:
    """The content of one file of a log directory. `records`: of segments also each record.

    Raises UnknownFileError, OSError.
    """
    name = posixpath.basename(path)
    stem, suffix = posixpath.splitext(name)
    if suffix in (".log", ".cut"):
        yield from _segment(files, path, records=records)
        return
    is_segment_file = stem[:OFFSET_DIGITS].isdigit() and suffix in BY_SUFFIX
    function = BY_SUFFIX[suffix] if is_segment_file else BY_NAME.get(name)
    if function is None:
        known = ", ".join([".log", ".cut", *BY_SUFFIX, *BY_NAME])
        raise UnknownFileError(f"{path} is none of the files of a log directory ({known})")
    base_offset = int(stem[:OFFSET_DIGITS]) if is_segment_file else 0
    try:
        yield from function(files.read_file(path), base_offset)
    except (SnapshotError, DigestError, CheckpointError) as error:
        yield {"error": str(error)}


def _segment(files: Files, path: str, *, records: bool) -> Iterator[Row]:
    """Batches one by one; offsets and epochs are told, not judged (a `.cut` begins anywhere)."""
    file = files.open(path, write=False)
    try:
        position, size_bytes = 0, file.size()
        while position < size_bytes:
            head = file.pread(HEADER_BYTES, position)
            if not any(head) and all_zeros(file, position, size_bytes):
                yield {"position": position, "zeros_bytes": size_bytes - position}
                return
            seen: list[Header] = []
            stop = _one_batch(file, position, size_bytes, head, seen)
            if not seen:
                yield {"position": position, "error": stop.why}
                return
            batch = file.pread(stop.position - position, position)
            yield _batch(position, seen[0], batch)
            if records:
                yield from _records(batch)
            position = stop.position
    finally:
        file.close()


def _one_batch(file: File, position: int, size_bytes: int, head: bytes, seen: list[Header]) -> Stop:
    """Walk one batch, whatever offset it claims."""
    offset = int.from_bytes(head[:8], "big", signed=True)
    length = int.from_bytes(head[8:12], "big", signed=True) + LENGTH_OVERHEAD_BYTES
    end = position + length if HEADER_BYTES <= length <= size_bytes - position else size_bytes

    def observe(_: int, header: Header) -> None:
        seen.append(header)

    return walk(file, position, end, offset, -1, observe, checked=False)


def _batch(position: int, header: Header, batch: bytes) -> Row:
    attributes = header[5]
    return {
        "position": position,
        "size_bytes": len(batch),
        "base_offset": header[0],
        "last_offset": header[0] + header[6],
        "records_count": header[12],
        "leader_epoch": header[2],
        "codec": CODECS.get(attributes & CODEC_MASK, f"unknown {attributes & CODEC_MASK}"),
        "timestamp_type": "LogAppendTime" if attributes & LOG_APPEND_TIME else "CreateTime",
        "base_timestamp_ms": header[7],
        "max_timestamp_ms": header[8],
        "producer_id": header[9],
        "producer_epoch": header[10],
        "base_sequence": header[11],
        "transactional": bool(attributes & TRANSACTIONAL),
        "control": bool(attributes & CONTROL),
        "crc": header[4],
        "fault": verify_batch(batch),
    }


def _records(batch: bytes) -> Iterator[Row]:
    try:
        for record in decode_batch(batch):
            yield {
                "offset": record.offset,
                "timestamp_ms": record.timestamp_ms,
                "key": text(record.key),
                "value": text(record.value),
                "headers": [[name, text(value)] for name, value in record.headers],
            }
    except ProtocolError as error:
        yield {"error": f"the records cannot be read: {error}"}


def text(data: bytes | None) -> str | None:
    """Bytes as text where they are UTF-8, as `0x...` where not, None as None."""
    if data is None:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return "0x" + data.hex()


def _offset_index(data: bytes, base_offset: int) -> Iterator[Row]:
    index = OffsetIndex(memoryview(data))
    for number in range(index.count):
        yield {
            "last_offset": base_offset + index.last_offset(number),
            "position": index.position(number),
        }


def _time_index(data: bytes, base_offset: int) -> Iterator[Row]:
    index = TimeIndex(memoryview(data))
    for number in range(index.count):
        timestamp_ms, relative_offset = index.entry(number)
        yield {"timestamp_ms": timestamp_ms, "offset": base_offset + relative_offset}


def _snapshot(data: bytes, _: int) -> Iterator[Row]:
    yield from _producers(producers.decode_snapshot(data))


def _window(data: bytes, _: int) -> Iterator[Row]:
    yield from _producers(producers.decode_window(data))


def _producers(states: ProducerStates) -> Iterator[Row]:
    for entry in states.entries.values():
        yield {
            "producer_id": entry.producer_id,
            "epoch": entry.epoch,
            "last_timestamp_ms": entry.last_timestamp_ms,
            "coordinator_epoch": entry.coordinator_epoch,
            "current_txn_first_offset": entry.current_txn_first_offset,
            "batches": [
                {
                    "base_sequence": batch[0],
                    "last_sequence": batch[1],
                    "base_offset": batch[2],
                    "last_offset": batch[3],
                }
                for batch in entry.batches
            ],
        }


def _digest(data: bytes, _: int) -> Iterator[Row]:
    digest = decode_digest(data)
    yield {
        "base_offset": digest.base_offset,
        "end_offset": digest.end_offset,
        "max_timestamp_ms": digest.max_timestamp_ms,
    }
    for part in digest.parts:
        yield {"file": part.suffix, "size_bytes": part.size_bytes, "xxh3": f"{part.xxh3:016x}"}


def _mark(data: bytes, _: int) -> Iterator[Row]:
    for number, slot in enumerate(decode_file(data)):
        if isinstance(slot, str):
            yield {"slot": number, "error": slot}
            continue
        yield {"slot": number, "generation": slot.generation}
        for name, entry in slot.entries.items():
            yield {
                "slot": number,
                "partition": name,
                "topic_id": format_uuid(entry.topic_id),
                "offset": entry.offset,
                "segment_base_offset": entry.segment_base_offset,
                "position": entry.position,
            }


def _epochs(data: bytes, _: int) -> Iterator[Row]:
    for start in checkpoint.decode_epochs(data).starts:
        yield {"epoch": start.epoch, "start_offset": start.start_offset}


def _metadata(data: bytes, _: int) -> Iterator[Row]:
    yield {"topic_id": format_uuid(checkpoint.decode_metadata(data))}


def _lines(data: bytes, _: int) -> Iterator[Row]:
    for line in data.decode("utf-8", "replace").splitlines():
        key, separator, value = line.partition("=")
        yield {key: value} if separator else {"line": line}


BY_SUFFIX: Final[dict[str, Callable[[bytes, int], Iterator[Row]]]] = {
    ".index": _offset_index,
    ".timeindex": _time_index,
    SNAPSHOT_SUFFIX: _snapshot,
    WINDOW_SUFFIX: _window,
    DIGEST_SUFFIX: _digest,
}
BY_NAME: Final[dict[str, Callable[[bytes, int], Iterator[Row]]]] = {
    MARK_FILE: _mark,
    checkpoint.EPOCHS_FILE: _epochs,
    checkpoint.METADATA_FILE: _metadata,
    retention.LOG_START_FILE: _lines,
    quarantine.QUARANTINE_FILE: _lines,
    IDENTITY_FILE: _lines,
}
