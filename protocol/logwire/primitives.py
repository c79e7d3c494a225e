"""Kafka's primitive types: one reader and one writer each, bounded by the bytes that are there.

A reader is `read(data, position) -> (value, next position)` over a memoryview of bytes; a writer is
`write(out, value)` appending to a bytearray. Integers are big-endian. Two families exist side by
side and the API's version decides which one is spoken:

    type             classic                          compact ("flexible" versions, KIP-482)
    string           int16 length, UTF-8              uvarint length + 1, UTF-8
    nullable string  length -1 is null                0 is null
    array            int32 count, items               uvarint count + 1, items
    records, bytes   int32 length, bytes              uvarint length + 1, bytes
    struct           fields                           fields, then a tagged-field section

    tagged section   uvarint count, then per field: uvarint tag, uvarint size in bytes, value

The zigzag varints of records live in `batch`: no message has any.

The rule of this file: a length or count that a peer promises is compared with the bytes that really
follow before anything is allocated for it. Every breach raises `ProtocolError`; what reading beyond
the end or bad UTF-8 raises by itself is named in `BREACHES` and turned into ProtocolError at the
outermost door, so that the readers stay bare.

Bytes alone are no bound: a list item of two bytes becomes a dict of 250, so that a frame of 100 MB
could ask for 10 GB. A `Budget` counts the items of all arrays of one message.

Source: kafka.apache.org/protocol ("Protocol Primitive Types"), KIP-482; Apache Kafka 4.4 refuses
more than 10,000 tagged fields too, and more than a million items, but in each array by itself.
"""

import struct
from collections.abc import Callable
from typing import Any

from logwire.errors import ProtocolError

Reader = Callable[[memoryview, int], tuple[Any, int]]
Writer = Callable[[bytearray, Any], None]

TAGGED_FIELDS_MAX = 10_000
UVARINT_BYTES_MAX = 5  # 5 x 7 bits hold 32
STRING_BYTES_MAX = 0x7FFF  # what the int16 of a classic string holds; Kafka's limit for both

BREACHES = (struct.error, IndexError, UnicodeDecodeError)

INT16 = struct.Struct(">h")
INT32 = struct.Struct(">i")


class Budget:
    """How many array items the message that is being read may still hold; reset for each."""

    __slots__ = ("left_count",)

    def __init__(self, left_count: int) -> None:
        self.left_count = left_count


def read_uvarint(data: memoryview, position: int) -> tuple[int, int]:
    """An unsigned 32-bit number, 7 bits a byte, lowest first. More than 5 bytes: ProtocolError.

    Numbers of one and two bytes (all below 16,384) are read without a loop: they are the rule.
    """
    byte = data[position]
    if byte < 0x80:
        return byte, position + 1
    second = data[position + 1]
    if second < 0x80:
        return byte - 0x80 + (second << 7), position + 2
    value = byte & 0x7F | (second & 0x7F) << 7
    position += 2
    for shift in (14, 21, 28):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > 0xFFFF_FFFF:
                raise ProtocolError("a varint is larger than 32 bits")
            return value, position
    raise ProtocolError(f"a varint is longer than {UVARINT_BYTES_MAX} bytes")


def write_uvarint(out: bytearray, value: int) -> None:
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def read_bool(data: memoryview, position: int) -> tuple[bool, int]:
    return data[position] != 0, position + 1


def fixed_reader(layout: struct.Struct) -> Reader:
    """The reader of one number (or 16-byte uuid) of fixed size."""
    unpack_from, size = layout.unpack_from, layout.size

    def read(data: memoryview, position: int) -> tuple[Any, int]:
        return unpack_from(data, position)[0], position + size

    return read


def fixed_writer(layout: struct.Struct) -> Writer:
    pack = layout.pack

    def write(out: bytearray, value: Any) -> None:
        out += pack(value)

    return write


def read_size(data: memoryview, position: int) -> tuple[int, int]:
    """A classic int32 length or count; -1 is null, anything lower ProtocolError."""
    (size,) = INT32.unpack_from(data, position)
    if size < -1:
        raise ProtocolError(f"negative length {size}")
    return size, position + 4


def read_compact_size(data: memoryview, position: int) -> tuple[int, int]:
    """A compact length or count: the number on the wire minus one, so that -1 is null here too."""
    size, position = read_uvarint(data, position)
    return size - 1, position


def read_string_size(data: memoryview, position: int) -> tuple[int, int]:
    """A classic int16 string length; -1 is null, anything lower ProtocolError."""
    (size,) = INT16.unpack_from(data, position)
    if size < -1:
        raise ProtocolError(f"negative string length {size}")
    return size, position + 2


def end_of(data: memoryview, position: int, size: int) -> int:
    """Where `size` bytes from `position` end; ProtocolError when they are not all there."""
    end = position + size
    if end > len(data):
        raise ProtocolError(f"length {size} where {len(data) - position} bytes are left")
    return end


def string_reader(compact: bool, nullable: bool) -> Reader:
    """Reads `str` (or None).

    Invalid UTF-8, a null that is not allowed and more than 32,767 bytes are ProtocolErrors. A
    compact string could be longer, and then it would fit into no record of ours.
    """
    read_length = read_compact_size if compact else read_string_size

    def read(data: memoryview, position: int) -> tuple[str | None, int]:
        size, position = read_length(data, position)
        if size < 0:
            check_null(nullable, "string")
            return None, position
        if size > STRING_BYTES_MAX:
            raise ProtocolError(f"a string of {size} bytes; Kafka's limit is {STRING_BYTES_MAX}")
        end = end_of(data, position, size)
        return str(data[position:end], "utf-8"), end

    return read


def bytes_reader(compact: bool, nullable: bool) -> Reader:
    """Reads bytes (or None): a copy, which outlives the frame."""
    read_view = records_reader(compact, nullable)

    def read(data: memoryview, position: int) -> tuple[bytes | None, int]:
        view, position = read_view(data, position)
        return None if view is None else bytes(view), position

    return read


def records_reader(compact: bool, nullable: bool) -> Reader:
    """Reads a memoryview into `data` (or None): records are never copied on their way in."""
    read_length = read_compact_size if compact else read_size

    def read(data: memoryview, position: int) -> tuple[memoryview | None, int]:
        size, position = read_length(data, position)
        if size < 0:
            check_null(nullable, "bytes")
            return None, position
        end = end_of(data, position, size)
        return data[position:end], end

    return read


def array_reader(
    item: Reader, item_size_min: int, compact: bool, nullable: bool, budget: Budget
) -> Reader:
    """Reads a list (or None); `item_size_min` is the fewest bytes that one item can take.

    ProtocolError when that many items cannot be in the bytes left, or exceed the budget.
    """
    read_count = read_compact_size if compact else read_size

    def read(data: memoryview, position: int) -> tuple[list[Any] | None, int]:
        count, position = read_count(data, position)
        if count < 0:
            check_null(nullable, "array")
            return None, position
        if count * item_size_min > len(data) - position:
            raise ProtocolError(f"{count} array items where {len(data) - position} bytes are left")
        if count > budget.left_count:
            raise ProtocolError(f"{count} array items where {budget.left_count} more are allowed")
        budget.left_count -= count
        items = []
        for _ in range(count):
            value, position = item(data, position)
            items.append(value)
        return items, position

    return read


def check_null(nullable: bool, what: str) -> None:
    """ProtocolError when the wire says null where the schema allows none."""
    if not nullable:
        raise ProtocolError(f"null {what} where none is allowed")


def skip_tagged(data: memoryview, position: int) -> int:
    """Skips a tagged-field section and returns the position behind it."""
    if data[position] == 0:
        return position + 1
    return read_tagged(data, position, {}, {})


def read_tagged(
    data: memoryview, position: int, known: dict[int, tuple[str, Reader]], message: dict[str, Any]
) -> int:
    """Reads a tagged-field section into `message`; tags that are not in `known` are skipped.

    A value must fill the size announced for it exactly. Returns the position behind the section.
    """
    count, position = read_uvarint(data, position)
    if count > TAGGED_FIELDS_MAX or count * 2 > len(data) - position:
        raise ProtocolError(f"{count} tagged fields where {len(data) - position} bytes are left")
    for _ in range(count):
        tag, position = read_uvarint(data, position)
        size, position = read_uvarint(data, position)
        end = end_of(data, position, size)
        if tag in known:
            name, read = known[tag]
            message[name], stop = read(data, position)
            if stop != end:
                raise ProtocolError(f"tagged field {tag} says {size} bytes, has {stop - position}")
        position = end
    return position


def write_size(out: bytearray, size: int) -> None:
    out += INT32.pack(size)


def write_compact_size(out: bytearray, size: int) -> None:
    write_uvarint(out, size + 1)


def write_string_size(out: bytearray, size: int) -> None:
    out += INT16.pack(size)


def string_writer(compact: bool, nullable: bool) -> Writer:
    """Writes `str` (or None). ValueError for a null that is not allowed or above 32,767 bytes."""
    write_length = write_compact_size if compact else write_string_size

    def write(out: bytearray, value: str | None) -> None:
        if value is None:
            write_length(out, written_null(nullable, "string"))
            return
        data = value.encode()
        if len(data) > STRING_BYTES_MAX:
            size = len(data)
            raise ValueError(f"a string of {size} bytes; Kafka's limit is {STRING_BYTES_MAX}")
        write_length(out, len(data))
        out += data

    return write


def bytes_writer(compact: bool, nullable: bool) -> Writer:
    """Writes any bytes-like value (or None)."""
    write_length = write_compact_size if compact else write_size

    def write(out: bytearray, value: bytes | memoryview | None) -> None:
        if value is None:
            write_length(out, written_null(nullable, "bytes"))
            return
        write_length(out, len(value))
        out += value

    return write


def array_writer(item: Writer, compact: bool, nullable: bool) -> Writer:
    write_count = write_compact_size if compact else write_size

    def write(out: bytearray, value: list[Any] | None) -> None:
        if value is None:
            write_count(out, written_null(nullable, "array"))
            return
        write_count(out, len(value))
        for entry in value:
            item(out, entry)

    return write


def written_null(nullable: bool, what: str) -> int:
    """The size that says null, -1; ValueError (our own bug) where the schema allows none."""
    if not nullable:
        raise ValueError(f"null {what} where this version allows none")
    return -1


def write_tagged(out: bytearray, fields: list[tuple[int, bytearray]]) -> None:
    """Writes a tagged-field section; `fields` are (tag, encoded value), in rising order of tag."""
    write_uvarint(out, len(fields))
    for tag, value in fields:
        write_uvarint(out, tag)
        write_uvarint(out, len(value))
        out += value
