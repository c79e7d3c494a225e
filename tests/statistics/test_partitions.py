"""logserver.statistics.partitions: one row per partition, given and taken back, never torn."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from logserver.statistics import PageError, PartitionsReader, PartitionsWriter
from logserver.statistics.page import HEADER_WORDS
from logserver.statistics.partitions import ROW_WORDS, PartitionFigures

Figures = tuple[int, int, int, int]
Table = dict[tuple[str, int], Figures]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where the region of a test lives."""
    return str(tmp_path / "partitions")


@pytest.fixture
def writer(path: str) -> Iterator[PartitionsWriter]:
    """A region with room for four."""
    region = PartitionsWriter(path, generation=1, rows=4)
    yield region
    region.close()


def figures(values: Figures) -> Figures:
    """The test's partitions are their own figures."""
    return values


def read_all(path: str) -> list[PartitionFigures]:
    """Every used row, sorted."""
    reader = PartitionsReader(path)
    found = [one for row in reader.rows() if (one := reader.read(row)) is not None]
    reader.close()
    return sorted(found)


def publish_round(writer: PartitionsWriter, table: Table) -> None:
    """One whole round over all partitions."""
    writer.publish_some(table, figures, limit=len(table) + 1)


def test_rows_come_back_as_published(path: str, writer: PartitionsWriter) -> None:
    """Topic, index and the four figures."""
    publish_round(writer, {("a", 0): (1, 2, 3, 4), ("b", 11): (5, 6, 7, 8)})
    assert read_all(path) == [("a", 0, 1, 2, 3, 4), ("b", 11, 5, 6, 7, 8)]


def test_a_topic_name_of_the_longest_kind_fits(path: str, writer: PartitionsWriter) -> None:
    """249 characters are Kafka's limit."""
    publish_round(writer, {("x" * 249, 0): (0, 0, 0, 0)})
    assert read_all(path)[0].topic == "x" * 249


def test_a_deleted_partition_leaves_its_row_to_another(path: str, writer: PartitionsWriter) -> None:
    """Rows do not leak however often topics come and go."""
    for turn in range(50):
        publish_round(writer, {(f"topic-{turn}", 0): (turn, 0, 0, 0)})
        assert f"topic-{turn}" in [one.topic for one in read_all(path)]
    publish_round(writer, {})
    assert read_all(path) == []
    reader = PartitionsReader(path)
    assert len(reader.rows()) == 4


def test_the_region_grows_when_its_rows_are_used_up(path: str, writer: PartitionsWriter) -> None:
    """A reader that mapped the smaller file sees the larger one at its next look."""
    publish_round(writer, {("a", 0): (1, 1, 1, 1)})
    reader = PartitionsReader(path)
    assert len(reader.rows()) == 4
    table: Table = {("a", index): (index, index, 0, 0) for index in range(21)}
    publish_round(writer, table)
    assert len(reader.rows()) == 32
    assert [one.partition for one in read_all(path)] == list(range(21))
    assert read_all(path)[20] == ("a", 20, 20, 20, 0, 0)


def test_a_call_copies_no_more_than_its_limit_and_goes_on(
    path: str, writer: PartitionsWriter
) -> None:
    """Many partitions must not hold up the loop at once."""
    table: Table = {("a", index): (1, 0, 0, 0) for index in range(10)}
    counts = []
    for _ in range(4):
        writer.publish_some(table, figures, limit=3)
        counts.append(len(read_all(path)))
    assert counts == [3, 6, 9, 10]


def test_partitions_that_vanish_during_a_round_are_passed_over(
    path: str, writer: PartitionsWriter
) -> None:
    """The table may change between two calls."""
    table: Table = {("a", index): (1, 0, 0, 0) for index in range(6)}
    writer.publish_some(table, figures, limit=2)
    del table["a", 1], table["a", 3]
    writer.publish_some(table, figures, limit=10)
    publish_round(writer, table)
    assert [one.partition for one in read_all(path)] == [0, 2, 4, 5]


def test_a_row_that_is_being_written_is_left_out(path: str, writer: PartitionsWriter) -> None:
    """A writer that died inside a row costs that row, nothing else."""
    publish_round(writer, {("a", 0): (1, 0, 0, 0), ("a", 1): (1, 0, 0, 0)})
    reader = PartitionsReader(path)
    rows = [row for row in reader.rows() if reader.read(row) is not None]
    writer._words[HEADER_WORDS + rows[0] * ROW_WORDS] += 1
    assert reader.read(rows[0]) is None
    assert reader.read(rows[1]) is not None


def test_no_region_is_a_sentence(path: str) -> None:
    """The server has no partitions yet, or does not run."""
    with pytest.raises(PageError, match="no partition figures"):
        PartitionsReader(path).rows()
