"""The error table against itself and against the names and codes that kio took from Kafka."""

from pathlib import Path

from kio.schema.errors import ErrorCode

from logwire import errors


def test_every_code_has_a_row_with_its_name() -> None:
    """Constants and table say the same."""
    constants = {
        name: value
        for name, value in vars(errors).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, int)
    }
    assert constants == {row.name: row.code for row in errors.ERRORS.values()}
    assert sorted(errors.ERRORS) == list(range(-1, 137))


def test_kio_knows_the_same_codes_under_the_same_names() -> None:
    """And the same ones are retriable."""
    for theirs in ErrorCode:
        ours = errors.ERRORS[theirs.value]
        assert ours.name.lower() == theirs.name
        assert ours.retriable == theirs.retriable, ours.name


def test_every_sentence_is_one() -> None:
    """A capital, a full stop, and short enough for a line of a log."""
    for row in errors.ERRORS.values():
        assert row.message[0].isupper() or row.name == "INVALID_REQUIRED_ACKS"
        assert row.message.endswith(".")
        assert len(row.message) < 90


def test_a_refusal_speaks_for_itself() -> None:
    """With a sentence of its own, or that of the table."""
    assert str(errors.Refusal(errors.INVALID_CONFIG, "segment.ms: 12x is not a number")) == (
        "INVALID_CONFIG: segment.ms: 12x is not a number"
    )
    assert errors.Refusal(errors.NOT_CONTROLLER).message == "This broker is not the controller."


def test_the_table_of_the_readme_is_this_table() -> None:
    """Row by row."""
    readme = (Path(__file__).parents[2] / "protocol" / "README.md").read_text()
    for row in errors.ERRORS.values():
        retriable = "yes" if row.retriable else ""
        assert f"| {row.code} | {row.name} | {retriable} | {row.message} |\n" in readme
