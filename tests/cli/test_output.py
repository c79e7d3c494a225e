"""logserver.cli.output: tables, facts and numbers as people read them."""

import json

import pytest

from logserver.cli.output import (
    Progress,
    count,
    duration,
    moment,
    print_facts,
    print_json,
    print_table,
    size,
)


def test_a_table_in_a_pipe_is_aligned_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Words to the left, numbers to the right, no colour, no trailing blanks."""
    rows = [("a", 1, size(0)), ("readings", 12_000, size(1_500_000)), ("x", None, None)]
    print_table(("topic", "partitions", "size"), rows)
    assert capsys.readouterr().out.splitlines() == [
        "TOPIC     PARTITIONS    SIZE",
        "a                  1     0 B",
        "readings      12,000  1.5 MB",
        "x                  -       -",
    ]


def test_a_table_without_rows_has_its_heading(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing found is an answer too."""
    print_table(("topic",), [])
    assert capsys.readouterr().out == "TOPIC\n"


def test_cells_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A setting's value comes from whoever set it."""
    print_table(("value",), [("\x1b[2J\n",)])
    print_facts({"name": "\x1b[31m"})
    assert "\x1b" not in capsys.readouterr().out


def test_facts_stand_in_one_column(capsys: pytest.CaptureFixture[str]) -> None:
    """Name, two blanks, value."""
    print_facts({"id": "x", "partitions": 3})
    assert capsys.readouterr().out == "id          x\npartitions  3\n"


def test_json_in_a_pipe_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """For `while read`, and still a document."""
    print_json({"a": [1, "ü"]})
    out = capsys.readouterr().out
    assert out == '{"a": [1, "ü"]}\n'
    assert json.loads(out) == {"a": [1, "ü"]}


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (104_857_600, "104.9 MB"),
        (10**13, "10.0 TB"),
        (10**17, "100000.0 TB"),
    ],
)
def test_sizes_are_decimal(size_bytes: int, text: str) -> None:
    """As disks and networks are sold."""
    assert size(size_bytes) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1000, "1.0 s"),
        (59_940, "59.9 s"),
        (59_960, "1.0 min"),
        (3_600_000, "1.0 h"),
        (86_400_000, "1.0 d"),
        (400 * 86_400_000, "400.0 d"),
    ],
)
def test_durations_have_one_unit(ms: int, text: str) -> None:
    """And never sixty of the smaller one."""
    assert duration(ms) == text


def test_counts_agree_with_their_noun() -> None:
    """One record, two records."""
    assert [count(n, "record") for n in (0, 1, 2000)] == ["0 records", "1 record", "2,000 records"]


@pytest.mark.parametrize(
    ("timestamp_ms", "text"),
    [
        (1_700_000_000_007, "2023-11-14T22:13:20.007Z"),
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "-"),
        (2**62, str(2**62)),
    ],
)
def test_moments_are_utc_to_the_millisecond(timestamp_ms: int, text: str) -> None:
    """What no calendar holds is shown as its number."""
    assert moment(timestamp_ms) == text


def test_progress_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """It counts all the same."""
    with Progress("work", 100) as progress:
        progress.advance(2, 50)
        progress.advance(1, 50)
    assert (progress.records, progress.size_bytes) == (3, 100)
    assert capsys.readouterr().err == ""


def test_addresses_stand_to_the_left(capsys: pytest.CaptureFixture[str]) -> None:
    """Four numbers with dots are no quantity."""
    print_table(("host", "size"), [("127.0.0.1", "1.5 MB"), ("10.0.0.12", "12 B")])
    assert capsys.readouterr().out.splitlines()[1:] == ["127.0.0.1  1.5 MB", "10.0.0.12    12 B"]
    print_table(("host", "lag"), [("10.0.0.1", "1,234.5"), ("127.0.0.1", "-1")])
    assert capsys.readouterr().out.splitlines()[1:] == ["10.0.0.1   1,234.5", "127.0.0.1       -1"]
