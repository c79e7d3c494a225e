"""Generated values for any message, by way of `kio`: an implementation of the protocol by others.

kio's classes were generated from Kafka's own schemas, so that a field, type or version that we have
wrong shows as a difference. `make` draws an instance, `plain` turns it into the shape that logwire
decodes to. kio aborts on hostile bytes: it only ever reads what a test has written itself.
"""

import dataclasses
import datetime as dt
import random
import types
import typing
import uuid
from typing import Any

from kio.index import load_request_schema, load_response_schema
from kio.schema.errors import ErrorCode

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MILLISECOND = dt.timedelta(milliseconds=1)
LETTERS = "abcxyz-._0189\u00e9\u20ac\U0001f4be"
INTEGER_BITS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}


def entity(api_key: int, version: int, block: str) -> Any:
    """kio's class of a message; an error of kio where 0.6.5 does not know the version."""
    load = load_request_schema if block == "request" else load_response_schema
    return load(api_key, version)


def make(kind: Any, rng: random.Random) -> Any:
    """Draws an instance of a kio class: edges of every type, nulls, and defaults left standing."""
    values = {}
    for field in dataclasses.fields(kind):
        has_default = field.default is not dataclasses.MISSING
        if has_default and ("tag" in field.metadata) and rng.random() < 0.5:
            continue
        value = draw(field.type, field.metadata.get("kafka_type"), rng)
        if value is None and "tag" in field.metadata:
            continue  # kio cannot write a null that is tagged unless it is the default
        values[field.name] = value
    return kind(**values)


def draw(kind: Any, kafka_type: str | None, rng: random.Random) -> Any:
    if typing.get_origin(kind) is types.UnionType:
        inner = next(each for each in typing.get_args(kind) if each is not types.NoneType)
        return None if rng.random() < 0.3 else draw(inner, kafka_type, rng)
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        return tuple(draw(inner, kafka_type, rng) for _ in range(rng.choice((0, 1, 2, 3))))
    if dataclasses.is_dataclass(kind):
        return make(kind, rng)
    assert kafka_type is not None
    return draw_primitive(kind, kafka_type, rng)


def draw_primitive(kind: Any, kafka_type: str, rng: random.Random) -> Any:
    if kafka_type in INTEGER_BITS:
        return kind(draw_integer(INTEGER_BITS[kafka_type], rng))
    draws: dict[str, Any] = {
        "bool": lambda: rng.random() < 0.5,
        "uint16": lambda: kind(rng.choice((0, 1, 9092, 65535))),
        "string": lambda: "".join(rng.choices(LETTERS, k=rng.choice((0, 1, 9, 126, 127, 300)))),
        "bytes": lambda: rng.randbytes(rng.choice((0, 1, 61, 127, 128, 20_000))),
        "records": lambda: rng.randbytes(rng.choice((0, 1, 61, 127, 128, 20_000))),
        "uuid": lambda: uuid.UUID(bytes=rng.randbytes(16)),
        "error_code": lambda: rng.choice(list(ErrorCode)),
        "timedelta_i32": lambda: draw_integer(32, rng) * MILLISECOND,
        "timedelta_i64": lambda: rng.choice((-1, 0, 1, rng.randrange(10**12))) * MILLISECOND,
        "datetime_i64": lambda: EPOCH + rng.randrange(10**12) * MILLISECOND,
    }
    return draws[kafka_type]()


def draw_integer(bits: int, rng: random.Random) -> int:
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    return rng.choice((low, -1, 0, 1, high, rng.randint(low, high)))


def plain(value: Any) -> Any:
    """A kio value in logwire's shape; field names stay kio's, see `same`."""
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, uuid.UUID):
        return value.bytes
    if isinstance(value, ErrorCode):
        return value.value
    if isinstance(value, dt.timedelta):
        return value // MILLISECOND
    if isinstance(value, dt.datetime):
        return (value - EPOCH) // MILLISECOND
    return value


def differences(theirs: Any, ours: Any, path: str = "") -> list[str]:
    """Where two messages differ: fields are matched by kio's name, with `_ms` where it drops it."""
    if isinstance(theirs, dict):
        found = []
        for name, value in theirs.items():
            key = name if name in ours else f"{name}_ms"
            if key not in ours:
                found.append(f"{path}.{name} is missing")
                continue
            found += differences(value, ours[key], f"{path}.{name}")
        return found
    if isinstance(theirs, list):
        if len(theirs) != len(ours):
            return [f"{path}: {len(theirs)} items, {len(ours)} here"]
        pairs = zip(theirs, ours, strict=True)
        return [d for i, (a, b) in enumerate(pairs) for d in differences(a, b, f"{path}[{i}]")]
    if theirs is None and ours in (-1, bytes(16)):
        return []  # kio says None for "no time" and for the zero uuid
    return [] if theirs == ours else [f"{path}: {theirs!r}, {ours!r} here"]
