"""tools/write_compatibility: the committed page is what the suites said."""

from logserver.broker.authorization import AUTHORIZATION
from tools.write_compatibility import apis_table, page, stale, table


def test_the_compatibility_page_is_up_to_date() -> None:
    """Run `python tools/write_compatibility.py` after a suite, a reason or an API changed."""
    assert not stale()


def test_every_served_api_is_on_the_page() -> None:
    """With the versions that ApiVersions answers."""
    rows = [line for line in apis_table().splitlines() if line.startswith("| ")][1:]
    assert [int(row.split("|")[1]) for row in rows] == sorted(AUTHORIZATION)
    assert "| 0 | Produce | 0-13 |" in page()


def test_a_pipe_in_a_reason_does_not_tear_its_row() -> None:
    """Reasons are written by people."""
    assert table(("a", "b"), [("x|y", "z")]).splitlines()[2] == "| x\\|y | z |"
