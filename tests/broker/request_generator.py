"""Random requests: anything that the codec can decode, with values that hit what exists."""

from __future__ import annotations

from random import Random
from typing import Any

from logwire.messages import Message, schema

STRINGS = (
    "a",
    "b",
    "a",
    "",
    "nope",
    "a/b",
    "x.y",
    "x_y",
    "1",
    "2",
    "retention.ms",
    "cleanup.policy",
)
VALUES = ("1", "-1", "x", "", "compact", "9" * 30)
NUMBERS = (0, 1, -1, 2, -2, -3, -4, -5, -6, -7, 3, 7, 100)


class Requests:
    """A source of requests; `ids` are topic ids that exist."""

    def __init__(self, random: Random, ids: list[bytes]) -> None:
        self.random = random
        self.ids = ids

    def request(self, api_key: int, version: int) -> Message:
        """A request of that API and version."""
        return self._struct(schema(api_key)["request"], version)

    def _struct(self, fields: tuple[Any, ...], version: int) -> Message:
        return {f.name: self._value(f, version) for f in fields if f.present(version)}

    def _value(self, field: Any, version: int) -> Any:
        random = self.random
        if field.nullable(version) and random.random() < 0.2:
            return None
        if field.is_array:
            return [self._one(field, version) for _ in range(random.choice((0, 1, 1, 2, 3)))]
        return self._one(field, version)

    def _one(self, field: Any, version: int) -> Any:
        random = self.random
        if field.kind == "struct":
            return self._struct(field.fields, version)
        if field.kind == "string":
            return random.choice(VALUES if field.name == "value" else STRINGS)
        if field.kind == "bool":
            return random.random() < 0.3
        if field.kind == "bytes":
            return random.randbytes(random.choice((0, 1, 40)))
        if field.kind == "uuid":
            return random.choice((bytes(16), random.randbytes(16), *self.ids))
        if field.kind in ("int32", "int64"):
            limit = 2 ** (int(field.kind[3:]) - 1)
            return random.choice((*NUMBERS, limit - 1, -limit))
        return random.choice(NUMBERS[:6])
