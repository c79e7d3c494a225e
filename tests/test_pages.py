"""The pages people read: their links lead somewhere, and the Python in the README runs."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from logserver.client import Admin
from tests.server_process import ServerProcess
from tests.test_tidy import ROOT, files

LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
PAGES = [name for name in files() if name.endswith(".md") and not name.startswith("perf/results/")]


@cache
def anchors(page: Path) -> frozenset[str]:
    """What a heading can be linked by: lower case, no punctuation, hyphens for blanks."""
    titles = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles)


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    """To a file of this repository, and to a heading of it where one is named."""
    page = ROOT / name
    broken = []
    for found in LINK.findall(FENCED.sub("", page.read_text())):
        target = found[0] or found[1]
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert not broken


def test_the_python_of_the_readme_runs(server: ServerProcess) -> None:
    """As it stands there, but for the address; and it is five lines at most, as it says.

    The member of a group reads until it is ended; the test for pytest runs in tests/testing.
    """
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    client, member = (block for block in blocks if not block.startswith("def test_"))
    assert all(len([line for line in block.splitlines() if line]) <= 5 for block in blocks)
    with Admin(server.bootstrap) as admin:
        admin.create_topic("readings")
    words = [
        [sys.executable, "-u", "-c", block.replace("127.0.0.1:9092", server.bootstrap)]
        for block in (client, member)
    ]
    done = subprocess.run(words[0], stdout=subprocess.PIPE, text=True, check=True, timeout=30)
    assert done.stdout == "0\n0 b'pump-17' b'431'\n"
    with subprocess.Popen(words[1], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0 0 b'431'\n"
        process.kill()


def test_every_bug_of_the_track_record_names_a_commit() -> None:
    """An id that git does not know would send the next engineer nowhere."""
    if not (ROOT / ".git").is_dir():
        return  # an unpacked archive has no history
    pages = ("docs/track-record.md", *(name for name in PAGES if name.startswith("logserver/")))
    text = "".join((ROOT / name).read_text() for name in pages)
    named = set(re.findall(r"\b(?=\d*[a-f])(?=[a-f]*\d)[0-9a-f]{7}\b", text))
    words = ["git", "log", "--format=%h", "--abbrev=7"]
    log = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    shallow = (ROOT / ".git/shallow").exists()
    assert shallow or named <= {line[:7] for line in log.stdout.splitlines()}
