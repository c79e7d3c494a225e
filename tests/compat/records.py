"""The records that every client sends and must get back, whole and in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

FIRST_MS = 1_700_000_000_000


class Sent(NamedTuple):
    """One record as all clients can express it."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_ms: int


class Records(Sequence[Sent]):
    """A hundred records: null keys, a null value, empty bytes, headers, one of 60 KB, UTF-8."""

    def __init__(self, count: int = 100) -> None:
        self._records = [_record(number) for number in range(count)]

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Sent]:
        return iter(self._records)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return self._records[index]


def _record(number: int) -> Sent:
    headers: tuple[tuple[str, bytes | None], ...] = ()
    value: bytes | None = f"value {number} ".encode() * (number % 9 + 1)
    key: bytes | None = f"key {number % 7}".encode()
    if number % 5 == 0:
        key = None
    if number % 10 == 3:
        headers = (("trace", b"%d" % number), ("empty", b""), ("h\u00e9ader", b"\0\xff"))
    if number == 11:
        value = None
    if number == 12:
        key, value = b"", b""
    if number == 42:
        value = bytes(index * 31 % 251 for index in range(60_000))
    return Sent(key, value, headers, FIRST_MS + number * 1000)
