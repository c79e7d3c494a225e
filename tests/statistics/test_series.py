"""Series in a memory file: whole or not there, and written in pieces."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from logserver.statistics import Series, SeriesWriter, read_series

ROWS = [
    Series("a", 1.5, (("client_id", "x"), ("group", ""))),
    Series("b_total", 1e30, (("client_id", "\u00fc y"),)),
    Series("c", -0.0, ()),
]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where the file of a test lives."""
    return str(tmp_path / "series")


def publish(writer: SeriesWriter, version: int, rows: list[Series]) -> None:
    """One whole round."""
    writer.publish_some(version, lambda: iter(rows), limit=len(rows) + 1)


def test_rows_come_back_as_published(path: str) -> None:
    """Names, numbers and texts, in their order."""
    publish(SeriesWriter(path), 1, ROWS)
    assert list(read_series(path)) == ROWS


def test_there_is_no_file_before_there_is_something_to_tell(path: str) -> None:
    """A server that nobody pushes to costs nothing."""
    writer = SeriesWriter(path)
    writer.publish_some(0, lambda: pytest.fail("asked for nothing"))
    assert list(read_series(path)) == []
    assert not Path(path).exists()


def test_a_version_is_written_once_and_in_pieces(path: str) -> None:
    """The old version stays until the new one is whole."""
    writer = SeriesWriter(path)
    publish(writer, 1, ROWS[:1])
    writer.publish_some(2, lambda: iter(ROWS), limit=2)
    assert list(read_series(path)) == ROWS[:1]
    writer.publish_some(2, lambda: pytest.fail("asked twice in a round"), limit=2)
    assert list(read_series(path)) == ROWS
    writer.publish_some(2, lambda: pytest.fail("nothing has changed"))


def test_rows_are_asked_for_bit_by_bit(path: str) -> None:
    """Whoever makes them does not make all of them at once."""
    made: list[Series] = []

    def rows() -> Iterator[Series]:
        for row in ROWS:
            made.append(row)
            yield row

    writer = SeriesWriter(path)
    writer.publish_some(1, rows, limit=2)
    assert made == ROWS[:2]
    writer.publish_some(1, rows, limit=2)
    assert list(read_series(path)) == made == ROWS


def test_a_reader_keeps_the_version_that_it_began(path: str) -> None:
    """The file is replaced, never rewritten."""
    writer = SeriesWriter(path)
    publish(writer, 1, ROWS)
    reading = read_series(path)
    assert next(reading) == ROWS[0]
    publish(writer, 2, [])
    assert list(reading) == ROWS[1:]
    assert list(read_series(path)) == []
