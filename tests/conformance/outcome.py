"""What one foreign test said, and which part of a suite somebody asked for."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal, NamedTuple

Status = Literal["passed", "failed", "skipped"]


class Outcome(NamedTuple):
    """The result of one test. `skipped` means that the test itself declined to run."""

    test: str
    status: Status
    message: str = ""
    seconds: float = 0.0


class Selection(NamedTuple):
    """What to run: all of a suite, its smoke, or the tests whose ids match a glob."""

    only: str = "*"
    smoke: bool = False

    def takes(self, test: str) -> bool:
        """Whether a test was asked for; a glob without a star also means everything below it."""
        return fnmatchcase(test, self.only) or test.startswith(self.only.rstrip("*") + ".")
