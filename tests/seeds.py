"""The seeds that tests of chance are played from.

A run draws fresh seeds and prints them, and the one that failed; LOGSERVER_SEED plays that one
again, alone. A test that plants a bug plays the same seeds always: a test of the tests must not
depend on luck.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from random import Random
from typing import TypeVar

Life = TypeVar("Life")


def draw(count: int = 1) -> range:
    """So many fresh seeds in a row, printed; or the one of LOGSERVER_SEED."""
    given = os.environ.get("LOGSERVER_SEED")
    first, count = (int(given), 1) if given else (Random().randrange(1 << 32), count)
    print(f"seeds {first} to {first + count - 1}")
    return range(first, first + count)


def wanted(full: bool, *, short: int, long: int) -> int:
    """How many seeds a simulation plays: LOGSERVER_SIMULATION_SEEDS, or what the pass asks for."""
    return int(os.environ.get("LOGSERVER_SIMULATION_SEEDS", long if full else short))


def played(play: Callable[[int], Life], count: int) -> Iterator[Life]:
    """What `play` makes of so many fresh seeds, one after the other; one that fails is named."""
    for seed in draw(count):
        try:
            life = play(seed)
        except BaseException:
            print(f"failing seed: LOGSERVER_SEED={seed}")
            raise
        yield life


def is_found(play: Callable[[int], object], seeds: range) -> bool:
    """Whether one of these seeds, always the same, sees what is planted, or misses a file."""
    for seed in seeds:
        try:
            play(seed)
        except (AssertionError, FileNotFoundError) as error:
            print(f"found by seed {seed}: {error}")
            return True
    return False
