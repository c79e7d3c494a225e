"""The decision table: complete, as drawn, and safe where it matters."""

from __future__ import annotations

import re
from itertools import product

import pytest

from logserver.storage import decisions
from logserver.storage.decisions import DECISIONS, ROWS, Action, Start, Where, decide
from logserver.storage.scan import Found

INTACT = {Found.END: Action.KEEP, Found.ZEROS: Action.TRIM}
CASES = list(product(Start, Where, Found, (False, True)))


def test_the_table_decides_every_combination() -> None:
    """Two starts, three sides, five findings, followed or not: sixty cases."""
    assert len(CASES) == 60
    assert set(DECISIONS) == set(CASES)


@pytest.mark.parametrize(("start", "where", "found", "follows"), CASES)
def test_nothing_is_cut_that_may_have_been_promised(
    start: Start, where: Where, found: Found, follows: bool
) -> None:
    """Said again without the table: when may bytes go, when may they stay."""
    action = decide(start, where, found, follows)
    if where is Where.BELOW or found is Found.UNREADABLE:
        expected = Action.QUARANTINE
    elif where is Where.ABOVE:
        expected = Action.CUT if follows else INTACT.get(found, Action.CUT)
    elif follows or (start is Start.CLEAN and found is not Found.END):
        expected = Action.QUARANTINE
    else:
        expected = INTACT.get(found, Action.CUT)
    assert action is expected


def test_the_drawing_in_the_docstring_is_the_table_in_the_code() -> None:
    """Row by row: who changes one must change the other."""
    words = r"any|clean|unclean|below|above|unknown|end|zeros|unreadable|yes|no"
    pattern = rf"^    ({words}) +({words}) +({words}) +({words}) +(\w+)"
    drawn = [
        match.groups() for match in re.finditer(pattern, decisions.__doc__ or "", re.MULTILINE)
    ]
    written = [
        (
            *(("any" if cell is None else cell.value) for cell in row[:3]),
            {None: "any", False: "no", True: "yes"}[row[3]],
            row[4].value,
        )
        for row in ROWS
    ]
    assert drawn == written


def test_every_row_is_needed() -> None:
    """No row is hidden behind the ones above it."""
    first_fits = set()
    for case in CASES:
        for number, row in enumerate(ROWS):
            pairs = zip(row[:4], case, strict=True)
            if all(want is None or want == have for want, have in pairs):
                first_fits.add(number)
                break
    assert first_fits == set(range(len(ROWS)))
