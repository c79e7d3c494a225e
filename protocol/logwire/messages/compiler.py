"""Turns parsed schemas into readers and writers for one version of a message.

Nothing is generated as text: a message is a tree of closures over precompiled Structs. Neighbouring
fields of fixed size share one Struct, so that a partition of eight numbers is one call. Whatever
depends on the version (which fields exist, which may be null, classic or compact) is decided here,
once, and costs nothing when a message passes.

A decoded struct is a dict with *every* field of the schema: those that its version does not carry
hold Kafka's default, so a handler reads `request["timeout_ms"]` without asking for the version. A
writer takes any mapping, fills what is missing with the default and ignores what its version does
not know.
"""

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from logwire import primitives
from logwire.errors import ProtocolError
from logwire.messages.notation import Field
from logwire.primitives import Budget, Reader, Writer

FIXED = {
    "bool": "?",
    "int8": "b",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "int64": "q",
    "uuid": "16s",
}
ABSENT = object()


class Run(NamedTuple):
    """Neighbouring fields of fixed size, read and written by one Struct."""

    fields: tuple[Field, ...]
    layout: struct.Struct


class Shape(NamedTuple):
    """A struct in one version: runs and single fields in wire order, then the tagged fields."""

    steps: tuple[Run | Field, ...]
    tagged: tuple[Field, ...]
    absent: tuple[Field, ...]


def shape(fields: tuple[Field, ...], version: int) -> Shape:
    """Sorts the fields of a struct for one version."""
    present = [field for field in fields if field.present(version)]
    steps: list[Run | Field] = []
    run: list[Field] = []
    for field in [field for field in present if field.tag is None]:
        if is_fixed(field):
            run.append(field)
            continue
        steps += close_run(run)
        run = []
        steps.append(field)
    steps += close_run(run)
    tagged = sorted((field for field in present if field.tag is not None), key=lambda f: f.tag or 0)
    absent = tuple(field for field in fields if field not in present)
    return Shape(tuple(steps), tuple(tagged), absent)


def is_fixed(field: Field) -> bool:
    return field.kind in FIXED and not field.is_array


def close_run(run: list[Field]) -> list[Run]:
    if not run:
        return []
    return [Run(tuple(run), struct.Struct(">" + "".join(FIXED[field.kind] for field in run)))]


def size_min(field: Field, version: int, compact: bool) -> int:
    """The fewest bytes that one value (for an array: one item) of this field can take."""
    if field.kind == "struct":
        sizes = [
            struct_or_count_size(below, version, compact)
            for below in field.fields
            if below.present(version) and below.tag is None
        ]
        return max(1, sum(sizes) + compact)
    if field.kind in FIXED:
        return struct.calcsize(">" + FIXED[field.kind])
    return 1 if compact else 2 if field.kind == "string" else 4


def struct_or_count_size(field: Field, version: int, compact: bool) -> int:
    if field.is_array:
        return 1 if compact else 4
    if field.kind == "struct" and field.nullable(version):
        return 1
    return size_min(field, version, compact)


def default_maker(field: Field) -> Callable[[], Any]:
    """Makes the default of a field; lists and dicts afresh each time, so that none is shared."""
    if field.default is None or not isinstance(field.default, list | dict):
        return lambda: field.default
    if field.is_array:
        return list
    makers = [(below.name, default_maker(below)) for below in field.fields]
    return lambda: {name: make() for name, make in makers}


def message_reader(
    fields: tuple[Field, ...], version: int, compact: bool, items_max: int
) -> Reader:
    """The reader of a whole message, whose arrays hold at most `items_max` items together.

    The budget lives with the compiled message: threads that read the same message and version at
    once share it, which can only make it stricter than it says.
    """
    budget = Budget(items_max)
    read_struct = struct_reader(fields, version, compact, budget)

    def read(data: memoryview, position: int) -> tuple[dict[str, Any], int]:
        budget.left_count = items_max
        message: tuple[dict[str, Any], int] = read_struct(data, position)
        return message

    return read


def struct_reader(fields: tuple[Field, ...], version: int, compact: bool, budget: Budget) -> Reader:
    """The reader of a struct: (data, position) -> (dict, position)."""
    steps, tagged, absent = shape(fields, version)
    plan: list[tuple[Any, Any, int]] = []
    for step in steps:
        if isinstance(step, Run):
            names = tuple(field.name for field in step.fields)
            plan.append((names, step.layout.unpack_from, step.layout.size))
        else:
            plan.append((step.name, field_reader(step, version, compact, budget), 0))
    known = {f.tag or 0: (f.name, tagged_reader(f, version, budget)) for f in tagged}
    makers = [(field.name, default_maker(field)) for field in (*tagged, *absent)]
    constants = {name: make() for name, make in makers if not isinstance(make(), list | dict)}
    fresh = [(name, make) for name, make in makers if name not in constants]
    read_tagged = primitives.read_tagged

    def read(data: memoryview, position: int) -> tuple[dict[str, Any], int]:
        message = constants.copy()
        for name, make in fresh:
            message[name] = make()
        for name, take, size in plan:
            if size:
                message.update(zip(name, take(data, position), strict=True))
                position += size
            else:
                message[name], position = take(data, position)
        if compact:
            if data[position]:
                return message, read_tagged(data, position, known, message)
            position += 1
        return message, position

    return read


def struct_writer(fields: tuple[Field, ...], version: int, compact: bool) -> Writer:
    """The writer of a struct: (out, mapping) -> None."""
    steps, tagged, _ = shape(fields, version)
    plan: list[tuple[Any, Any, Any]] = []
    for step in steps:
        if isinstance(step, Run):
            plan.append(([(f.name, f.default) for f in step.fields], step.layout.pack, None))
        else:
            plan.append((step.name, field_writer(step, version, compact), default_maker(step)))
    extras = [
        (field.tag or 0, field.name, tagged_writer(field, version), default_maker(field))
        for field in tagged
    ]

    def write(out: bytearray, message: dict[str, Any]) -> None:
        get = message.get
        for name, put, make in plan:
            if make is None:
                out += put(*[get(key, default) for key, default in name])
            else:
                value = get(name, ABSENT)
                put(out, make() if value is ABSENT else value)
        if compact:
            write_extras(out, message, extras)

    return write


def write_extras(out: bytearray, message: dict[str, Any], extras: list[Any]) -> None:
    """Writes the tagged section: as in Kafka, a field that holds its default is left out."""
    fields = []
    for tag, name, put, make in extras:
        value = message.get(name, ABSENT)
        default = make()
        if isinstance(default, dict) and isinstance(value, dict):
            value = default | value
        if value is not ABSENT and value != default:
            encoded = bytearray()
            put(encoded, value)
            fields.append((tag, encoded))
    primitives.write_tagged(out, fields)


def field_reader(field: Field, version: int, compact: bool, budget: Budget) -> Reader:
    nullable = field.nullable(version)
    if field.is_array:
        item = item_reader(field, version, compact, False, budget)
        smallest = size_min(field, version, compact)
        return primitives.array_reader(item, smallest, compact, nullable, budget)
    return item_reader(field, version, compact, nullable, budget)


def item_reader(
    field: Field, version: int, compact: bool, nullable: bool, budget: Budget
) -> Reader:
    if field.kind == "struct":
        read = struct_reader(field.fields, version, compact, budget)
        return nullable_reader(read) if nullable else read
    if field.kind == "string":
        return primitives.string_reader(compact, nullable)
    if field.kind == "records":
        return primitives.records_reader(compact, nullable)
    if field.kind == "bytes":
        return primitives.bytes_reader(compact, nullable)
    if field.kind == "bool":
        return primitives.read_bool
    return primitives.fixed_reader(struct.Struct(">" + FIXED[field.kind]))


def field_writer(field: Field, version: int, compact: bool) -> Writer:
    nullable = field.nullable(version)
    if field.is_array:
        item = item_writer(field, version, compact, False)
        return primitives.array_writer(item, compact, nullable)
    return item_writer(field, version, compact, nullable)


def item_writer(field: Field, version: int, compact: bool, nullable: bool) -> Writer:
    if field.kind == "struct":
        write = struct_writer(field.fields, version, compact)
        return nullable_writer(write) if nullable else write
    if field.kind == "string":
        return primitives.string_writer(compact, nullable)
    if field.kind in ("bytes", "records"):
        return primitives.bytes_writer(compact, nullable)
    return primitives.fixed_writer(struct.Struct(">" + FIXED[field.kind]))


def tagged_reader(field: Field, version: int, budget: Budget) -> Reader:
    """A tagged struct that may be null says so in a uvarint: 0 null, else present.

    Kafka's generated code does, and nowhere else; only coordinator records have such a field.
    """
    if field.kind != "struct" or field.is_array or not field.nullable(version):
        return field_reader(field, version, True, budget)
    read_struct = struct_reader(field.fields, version, True, budget)

    def read(data: memoryview, position: int) -> tuple[dict[str, Any] | None, int]:
        mark, position = primitives.read_uvarint(data, position)
        return read_struct(data, position) if mark else (None, position)

    return read


def tagged_writer(field: Field, version: int) -> Writer:
    if field.kind != "struct" or field.is_array or not field.nullable(version):
        return field_writer(field, version, True)
    write_struct = struct_writer(field.fields, version, True)

    def write(out: bytearray, value: dict[str, Any] | None) -> None:
        out.append(value is not None)
        if value is not None:
            write_struct(out, value)

    return write


def nullable_reader(read_struct: Reader) -> Reader:
    """A struct that may be null starts with one byte: -1 null, 1 present (KIP-893)."""

    def read(data: memoryview, position: int) -> tuple[dict[str, Any] | None, int]:
        mark = data[position]
        if mark == 0xFF:
            return None, position + 1
        if mark != 1:
            raise ProtocolError(f"{mark} where a struct says 1 (present) or -1 (null)")
        return read_struct(data, position + 1)

    return read


def nullable_writer(write_struct: Writer) -> Writer:
    def write(out: bytearray, value: dict[str, Any] | None) -> None:
        if value is None:
            out.append(0xFF)
            return
        out.append(1)
        write_struct(out, value)

    return write
