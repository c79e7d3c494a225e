"""What is done where the valid batches of a log end: one table.

The durable mark (see `mark`) is a lower bound of what is on the device. A walk over the segments
(see `scan`) stops where the valid batches end. What is done there:

    start    stopped  found       a batch  action
             at                   follows
    -------  -------  ----------  -------  -----------------------------------------------------
    any      any      unreadable  any      quarantine  the device refuses to read: nothing is
                                                       lost yet, so nothing is cut
    any      below    any         any      quarantine  it was durable: this is corruption
    any      above    end         no       keep        the log ends where the file ends
    any      above    zeros       no       trim        preallocated space
    any      above    any         any      cut         never promised: unsynced pages reach the
                                                       device in any order
    unclean  unknown  end         no       keep        without a mark ...
    unclean  unknown  zeros       no       trim        ... a log that just stops ...
    unclean  unknown  any         no       cut         ... is taken for a torn tail ...
    clean    unknown  end         no       keep
    any      unknown  any         any      quarantine  ... and anything else for corruption

The first row that fits counts. *Unknown*: no mark file, or no slot of it can be believed. *Clean*:
the last stop said that everything was synced. A segment with a valid digest is on the device and
complete (see `digest`); it is not read. Segments behind the end count as "follows" when they hold
a batch.

keep, trim   appends go on there.
cut          what is cut is first copied to `<base>.cut` and synced, then the file is shortened and
             synced (so that no stale batch can reappear behind newer ones), then it is told.
quarantine   the log is readable up to there and refuses appends; no byte is changed. The file
             `quarantine` in the directory keeps the verdict until a person removes it.
"""

from __future__ import annotations

from enum import Enum
from itertools import product
from typing import Final

from .scan import Found


class Start(Enum):
    """How the last stop of the log directory went."""

    CLEAN = "clean"
    UNCLEAN = "unclean"


class Where(Enum):
    """Which side of the durable mark the walk stopped on."""

    BELOW = "below"
    ABOVE = "above"
    UNKNOWN = "unknown"


class Action(Enum):
    """What recovery does where the valid batches end."""

    KEEP = "keep"
    TRIM = "trim"
    CUT = "cut"
    QUARANTINE = "quarantine"


ANY: Final = None
Row = tuple[Start | None, Where | None, Found | None, bool | None, Action]
ROWS: Final[tuple[Row, ...]] = (
    (ANY, ANY, Found.UNREADABLE, ANY, Action.QUARANTINE),
    (ANY, Where.BELOW, ANY, ANY, Action.QUARANTINE),
    (ANY, Where.ABOVE, Found.END, False, Action.KEEP),
    (ANY, Where.ABOVE, Found.ZEROS, False, Action.TRIM),
    (ANY, Where.ABOVE, ANY, ANY, Action.CUT),
    (Start.UNCLEAN, Where.UNKNOWN, Found.END, False, Action.KEEP),
    (Start.UNCLEAN, Where.UNKNOWN, Found.ZEROS, False, Action.TRIM),
    (Start.UNCLEAN, Where.UNKNOWN, ANY, False, Action.CUT),
    (Start.CLEAN, Where.UNKNOWN, Found.END, False, Action.KEEP),
    (ANY, Where.UNKNOWN, ANY, ANY, Action.QUARANTINE),
)


def decide(start: Start, where: Where, found: Found, follows: bool) -> Action:
    """The action of the first row that fits."""
    case = (start, where, found, follows)
    for row in ROWS:
        if all(want is ANY or want == have for want, have in zip(row[:4], case, strict=True)):
            return row[4]
    raise AssertionError(f"no row for {case}")


DECISIONS: Final = {case: decide(*case) for case in product(Start, Where, Found, (False, True))}
