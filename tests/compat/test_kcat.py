"""kcat: the tool that people reach for first."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

TIMEOUT_S = 60.0

Kcat = Callable[..., str]


@pytest.fixture
def kcat(require_tool: Callable[[str], str], kafka_bootstrap: str) -> Kcat:
    """Run kcat against the server and return its standard output."""
    program = require_tool("kcat")

    def run(*arguments: str, data: str | None = None) -> str:
        words = [program, "-b", kafka_bootstrap, *arguments]
        result = subprocess.run(
            words, input=data, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        assert result.returncode == 0, f"{arguments}: {result.stderr}"
        return result.stdout

    return run


def test_lines_come_back_in_order(kcat: Kcat, topic: str, codec: str) -> None:
    """Produce from standard input with each codec, consume from the beginning to the end."""
    lines = [f"line {number}" for number in range(1000)]
    kcat("-P", "-t", topic, "-p", "0", "-z", codec, data="\n".join(lines) + "\n")
    assert kcat("-C", "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q").splitlines() == lines


def test_idempotent_lines_come_back_once(kcat: Kcat, topic: str) -> None:
    """`enable.idempotence` through InitProducerId and sequences."""
    lines = [f"line {number}" for number in range(500)]
    options = ("-X", "enable.idempotence=true", "-X", "batch.num.messages=10")
    kcat("-P", "-t", topic, "-p", "0", *options, data="\n".join(lines) + "\n")
    assert kcat("-C", "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q").splitlines() == lines


def test_offsets_and_times_are_found(kcat: Kcat, topic: str) -> None:
    """`-o N`, `-o -N` and `-o s@TIMESTAMP`."""
    kcat("-P", "-t", topic, "-p", "0", data="a\nb\nc\nd\n")
    consume = ("-C", "-t", topic, "-p", "0", "-e", "-q")
    assert kcat(*consume, "-o", "2") == "c\nd\n"
    assert kcat(*consume, "-o", "-1") == "d\n"
    assert kcat(*consume, "-o", "s@1000000000000") == "a\nb\nc\nd\n"
    assert kcat("-Q", "-t", f"{topic}:0:-1") == f"{topic} [0] offset 4\n"
    assert kcat("-Q", "-t", f"{topic}:0:-2") == f"{topic} [0] offset 0\n"


def test_keys_headers_and_null_values_survive(kcat: Kcat, topic: str) -> None:
    """`-K` splits keys, `-H` adds a header, `-Z` makes empty values null."""
    kcat("-P", "-t", topic, "-p", "0", "-K", ":", "-H", "who=me", "-Z", data="k:v\nempty:\n")
    text = kcat("-C", "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q", "-J")
    first, second = [json.loads(line) for line in text.splitlines()]
    assert (first["key"], first["payload"], first["headers"]) == ("k", "v", ["who", "me"])
    assert (second["key"], second["payload"]) == ("empty", None)


def test_metadata_is_listed(kcat: Kcat, topic: str) -> None:
    """`-L` shows the one broker and the partitions of a topic."""
    kcat("-P", "-t", topic, "-p", "0", data="x\n")
    listing = json.loads(kcat("-L", "-J", "-t", topic))
    assert len(listing["brokers"]) == 1
    (found,) = [entry for entry in listing["topics"] if entry["topic"] == topic]
    assert found["partitions"][0]["leader"] == listing["brokers"][0]["id"]
