"""Where to begin reading: `--from OFFSET|TIMESTAMP|beginning|end`.

A bare integer is an offset. A timestamp is ISO 8601 (`2026-01-31T12:00:00Z`; UTC where no zone is
given, because that is how times are printed) or `@` and milliseconds since the epoch.
"""

import re
from typing import Literal, NamedTuple

import click


class Timestamp(NamedTuple):
    """Milliseconds since the epoch."""

    ms: int


Position = int | Timestamp | Literal["beginning", "end"]

OFFSET_MAX = 2**63 - 1
_OFFSET = re.compile(r"[0-9]{1,19}")
_MILLISECONDS = re.compile(r"@[0-9]{1,18}")
FORMS = "an offset, @milliseconds, an ISO 8601 time, 'beginning' or 'end'"


def parse_position(text: str) -> Position:
    """The position that the text names; raises ValueError with a sentence."""
    if text == "beginning":
        return "beginning"
    if text == "end":
        return "end"
    if _OFFSET.fullmatch(text) and int(text) <= OFFSET_MAX:
        return int(text)
    if _MILLISECONDS.fullmatch(text):
        return Timestamp(int(text[1:]))
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not {FORMS}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    milliseconds = round(moment.timestamp() * 1000)
    if milliseconds < 0:
        raise ValueError(f"{text!r} is before 1970")
    return Timestamp(milliseconds)


class PositionType(click.ParamType[Position]):
    """The same for click."""

    name = "position"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Position:
        """A usage error for what is no position."""
        if not isinstance(value, str):
            assert isinstance(value, int | Timestamp)
            return value
        try:
            return parse_position(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
