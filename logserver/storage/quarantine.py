"""A partition that is not to be believed from some offset on, and the file that says so.

Quarantine is the answer to corruption of what was durable: the log is readable below the verdict,
takes no records, and no byte of it is changed, so that a person can mend it from a copy. The
verdict is kept in the partition directory, in a file `quarantine`, until that person removes it:
otherwise the next start might overlook what this one saw.

    offset=4711
    segment_base_offset=4000
    position=88123
    why=the checksum of the batch does not match
"""

from __future__ import annotations

from typing import Final, NamedTuple

from .files import Files

QUARANTINE_FILE: Final = "quarantine"


class Quarantine(NamedTuple):
    """From where on a partition is not to be believed, and why."""

    offset: int
    segment_base_offset: int
    position: int
    why: str


def read_quarantine(files: Files, directory: str) -> Quarantine | None:
    """The verdict of an earlier start; one that cannot be read condemns the whole partition."""
    try:
        text = files.read_file(f"{directory}/{QUARANTINE_FILE}").decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    fields = dict(line.split("=", 1) for line in text.split("\n") if "=" in line)
    try:
        numbers = [int(fields[key]) for key in ("offset", "segment_base_offset", "position")]
        return Quarantine(numbers[0], numbers[1], numbers[2], fields["why"])
    except (KeyError, ValueError):
        return Quarantine(0, 0, 0, f"the file {QUARANTINE_FILE} cannot be read")


def write_quarantine(files: Files, directory: str, quarantine: Quarantine) -> None:
    """Keep a verdict until a person removes the file."""
    lines = [f"{key}={value}\n" for key, value in quarantine._asdict().items()]
    files.write_atomically(f"{directory}/{QUARANTINE_FILE}", "".join(lines).encode())
