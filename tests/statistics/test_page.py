"""logserver.statistics.page: what the writer copies is what a reader sees, whole or not at all."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from logserver.statistics import METRICS, Histogram, PageError, PageReader, PageWriter
from logserver.statistics.layout import POSITIONS, WORDS
from logserver.statistics.page import HEADER_WORDS, WORD_BYTES


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where the page of a test lives."""
    return str(tmp_path / "statistics")


@pytest.fixture
def writer(path: str) -> Iterator[PageWriter]:
    """A page that nothing was published to yet."""
    page = PageWriter(path, generation=7, pid=42)
    yield page
    page.close()


def test_a_reader_sees_what_was_published(path: str, writer: PageWriter) -> None:
    """Single words, labelled words and histograms come back under their keys."""
    histogram = Histogram()
    histogram.observe(60_000)
    histogram.observe(9_000_000_000)
    requests = list(range(len(_values("requests"))))
    writer.publish(
        {"connections": 3, "requests": requests, "sync_duration_ns": histogram.words()}, 1234
    )
    snapshot = PageReader(path).snapshot()
    assert snapshot.value("connections") == 3
    assert snapshot["requests"] == requests
    assert snapshot["sync_duration_ns"][1] == 1
    assert snapshot["sync_duration_ns"][-2:] == [1, 9_000_060_000]
    assert (snapshot.written_at_ms, snapshot.generation, snapshot.pid) == (1234, 7, 42)


def test_values_that_are_not_given_keep_their_last_word(path: str, writer: PageWriter) -> None:
    """A source may publish less often than the others."""
    writer.publish({"connections": 3}, 1)
    writer.publish({"topics": 2}, 2)
    snapshot = PageReader(path).snapshot()
    assert (snapshot.value("connections"), snapshot.value("topics")) == (3, 2)


def test_every_word_belongs_to_exactly_one_metric() -> None:
    """The rows follow each other without gap or overlap."""
    taken = [word for at, count in POSITIONS.values() for word in range(at, at + count)]
    assert taken == list(range(WORDS))


def test_negative_and_largest_values_survive(path: str, writer: PageWriter) -> None:
    """Words are signed 64-bit."""
    writer.publish({"connections": -1, "received_bytes": 2**63 - 1}, 1)
    snapshot = PageReader(path).snapshot()
    assert (snapshot.value("connections"), snapshot.value("received_bytes")) == (-1, 2**63 - 1)


def test_an_unknown_key_is_our_bug(writer: PageWriter) -> None:
    """The table and the sources must agree."""
    with pytest.raises(KeyError):
        writer.publish({"conections": 1}, 1)
    with pytest.raises(AssertionError, match="requests has"):
        writer.publish({"requests": [1]}, 1)


def test_a_page_without_a_server_says_so(path: str) -> None:
    """Not there, just created, and closed are three sentences."""
    reader = PageReader(path)
    with pytest.raises(PageError, match="no server runs there"):
        reader.snapshot()
    writer = PageWriter(path, generation=1, pid=1)
    with pytest.raises(PageError, match="has no values"):
        reader.snapshot()
    writer.publish({}, 5)
    assert reader.snapshot().written_at_ms == 5
    writer.close()
    with pytest.raises(PageError, match="not running"):
        reader.snapshot()


def test_a_reader_follows_the_next_server(path: str) -> None:
    """The new server replaces the file; the reader that mapped the old one reopens."""
    first = PageWriter(path, generation=1, pid=1)
    first.publish({"connections": 1}, 5)
    reader = PageReader(path)
    assert reader.snapshot().generation == 1
    second = PageWriter(path, generation=2, pid=2)
    second.publish({"connections": 2}, 6)
    assert reader.snapshot().generation == 2
    assert reader.snapshot().value("connections") == 2
    first.close()
    second.close()


def test_another_layout_is_refused(path: str, writer: PageWriter) -> None:
    """A tool of another version must not show one number under another's name."""
    writer.publish({}, 5)
    with open(path, "r+b") as file:
        file.seek(WORD_BYTES)
        file.write(b"\x01" * WORD_BYTES)
    with pytest.raises(PageError, match="another version"):
        PageReader(path).snapshot()


def test_a_half_written_page_is_never_returned(path: str, writer: PageWriter) -> None:
    """An odd sequence means that the writer is inside, or died there."""
    writer.publish({}, 5)
    with open(path, "r+b") as file:
        file.seek(3 * WORD_BYTES)
        file.write((1).to_bytes(8, "little"))
    with pytest.raises(PageError, match="written for too long"):
        PageReader(path).snapshot()


def test_the_file_is_private_and_has_the_size_of_the_table(path: str, writer: PageWriter) -> None:
    """Others on the host may not read it; its space is really there."""
    writer.publish({}, 5)
    found = os.stat(path)
    assert found.st_mode & 0o777 == 0o600
    assert found.st_size == (HEADER_WORDS + WORDS) * WORD_BYTES
    assert found.st_blocks * 512 >= found.st_size


def test_an_incomplete_file_is_a_server_that_starts(path: str) -> None:
    """An empty file cannot be mapped."""
    with open(path, "wb"):
        pass
    with pytest.raises(PageError, match="incomplete"):
        PageReader(path).snapshot()


def _values(key: str) -> tuple[str, ...]:
    return next(metric.values for metric in METRICS if metric.key == key)
