"""Outcomes from the XML report that pytest writes."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from tests.conformance.outcome import Outcome


def read(path: Path) -> Iterator[Outcome]:
    """Each test case of a report; `module.Class.test[parameters]` is its id."""
    for case in ET.parse(path).iter("testcase"):
        module = case.get("classname", "").partition("test.integration.")[2]
        test = f"{module}.{case.get('name')}"
        seconds = float(case.get("time", 0))
        broken = case.find("failure")
        if broken is None:
            broken = case.find("error")
        skip = case.find("skipped")
        if broken is not None:
            yield Outcome(test, "failed", broken.get("message", ""), seconds)
        elif skip is not None:
            yield Outcome(test, "skipped", skip.get("message", ""), seconds)
        else:
            yield Outcome(test, "passed", "", seconds)
