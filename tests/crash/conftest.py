"""How often a server is killed, and how many of these deaths one data directory sees.

A module of this folder says at what its kills are aimed (AIMS) and how many they are in full
(KILLS_COUNT). LOGSERVER_KILLS asks for another number.
"""

from __future__ import annotations

import os

import pytest

CHAIN_KILLS_COUNT = 25  # on one data directory


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """In chains: as many as in full, or one of each aim."""
    if "kills_count" in metafunc.fixturenames:
        module, full = metafunc.module, metafunc.config.getoption("--full")
        default = module.KILLS_COUNT if full else len(module.AIMS)
        whole, rest = divmod(int(os.environ.get("LOGSERVER_KILLS", default)), CHAIN_KILLS_COUNT)
        chains = [CHAIN_KILLS_COUNT] * whole + [rest] * bool(rest)
        names = [f"chain {number}" for number in range(len(chains))]
        metafunc.parametrize("kills_count", chains, ids=names)
