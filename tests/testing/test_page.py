"""docs/testing.md: its example is the suite that is tested, its first lines run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

from logserver.testing import Broker, Fault
from tests.server_process import ROOT
from tests.testing.test_plugin import run_pytest

PAGE = (ROOT / "docs/testing.md").read_text()
IMPORTS = "from logserver.client import Consumer, Producer\n"


def blocks() -> list[str]:
    """The Python on the page."""
    return re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_example_on_the_page_is_the_one_that_is_tested() -> None:
    """Whoever copies it copies what passed."""
    assert (ROOT / "tests/testing/examples/test_payments.py").read_text() in blocks()


def test_the_first_lines_of_the_page_run(tmp_path: Path) -> None:
    """Five lines, and a test passes; the README shows the same."""
    assert len(blocks()[0].splitlines()) == 5
    assert blocks()[0] in (ROOT / "README.md").read_text()
    done = run_pytest(tmp_path, IMPORTS + blocks()[0])
    assert done.returncode == 0, done.stdout


def test_every_method_of_a_broker_is_on_the_page() -> None:
    """A fault that nobody finds is no fault."""
    public = {name for name in vars(Broker) if not name.startswith("_")} - {"close", "running"}
    assert all(f"`{name}" in PAGE for name in public), public
    assert "`off()`" in PAGE
    assert hasattr(Fault, "off")
