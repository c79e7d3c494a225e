"""logserver.cli.position: offsets, timestamps, beginning and end."""

import pytest

from logserver.cli.position import Position, Timestamp, parse_position


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("beginning", "beginning"),
        ("end", "end"),
        ("0", 0),
        ("20260131", 20260131),
        (str(2**63 - 1), 2**63 - 1),
        ("@0", Timestamp(0)),
        ("@1700000000007", Timestamp(1_700_000_000_007)),
        ("2023-11-14T22:13:20Z", Timestamp(1_700_000_000_000)),
        ("2023-11-14T22:13:20", Timestamp(1_700_000_000_000)),
        ("2023-11-14T23:13:20.007+01:00", Timestamp(1_700_000_000_007)),
        ("2023-11-14 22:13:20", Timestamp(1_700_000_000_000)),
        ("2023-11-14", Timestamp(1_699_920_000_000)),
    ],
)
def test_a_position_is_read_as_documented(text: str, position: Position) -> None:
    """A bare integer is always an offset; a time without zone is UTC."""
    assert parse_position(text) == position
    assert type(parse_position(text)) is type(position)


@pytest.mark.parametrize(
    "text", ["", "start", "-1", "@", "@-5", "@1.5", "1e3", "1_000", str(2**63), "2023-13-01", "٣"]
)
def test_anything_else_is_refused_with_the_forms(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="is not an offset"):
        parse_position(text)


def test_times_before_the_epoch_are_refused() -> None:
    """A negative timestamp is a special request in Kafka's protocol."""
    with pytest.raises(ValueError, match="before 1970"):
        parse_position("1969-12-31T23:59:59Z")
