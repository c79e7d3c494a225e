"""Broken batches against a live server: the codes that Apache Kafka 4.3.1 gave to the same bytes.

The vectors are recorded by `tools/record_refusals.py`. Rows with `ours` differ on purpose and say
why; rows with `inside` can only be found by walking the records of a batch, which this server does
for compacted topics only (README, "What is not checked").
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server_process import ServerProcess
from tools.raw_kafka import RawConnection
from tools.refusal_cases import Step

ROOT = Path(__file__).resolve().parent.parent.parent
VECTORS = json.loads((ROOT / "protocol/vectors/refusals.json").read_text())
CASES = [case for case in VECTORS["produce"] if not case.get("inside")]
INSIDE = [case for case in VECTORS["produce"] if case.get("inside")]


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RawConnection]:
    """One connection for all cases: whatever is refused must leave it usable."""
    directory = tmp_path_factory.mktemp("refusals") / "data"
    with ServerProcess(directory) as server, RawConnection(server.kafka_address) as connection:
        yield connection


def as_step(row: dict[str, Any]) -> Step:
    """A step of the file as the bytes to send."""
    records = None if row["records"] is None else bytes.fromhex(row["records"])
    given = {name: row[name] for name in Step._fields if name in row and name != "records"}
    return Step(records, **given)


def expected_codes(case: dict[str, Any]) -> list[int]:
    """Apache Kafka's codes, or ours for the last step where the case says so."""
    codes = [step.get("error_code", -1) for step in case["steps"]]
    if "ours" in case:
        codes[-1] = case["ours"]["error_code"]
    return codes


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_broken_batches_get_the_code_that_kafka_gives(
    connection: RawConnection, case: dict[str, Any]
) -> None:
    """Code, base offset, and that a refused batch leaves nothing in the log."""
    topic = f"refusals-{VECTORS['produce'].index(case)}"
    assert connection.create_topic(topic, case.get("config", {})) == 0
    answers = [connection.produce(topic, as_step(row)) for row in case["steps"]]
    assert [answer.error_code for answer in answers] == expected_codes(case)
    if "ours" not in case:
        offsets = [row["base_offset"] for row in case["steps"]]
        assert [answer.base_offset for answer in answers] == offsets
        # acks=1 is answered before the sync that makes the record visible
        connection.wait_for_end_offset(topic, case["end_offset"])
    elif any(expected_codes(case)):
        assert connection.end_offset(topic) == 0


@pytest.mark.parametrize("case", INSIDE, ids=lambda case: case["name"])
def test_the_inside_of_a_batch_is_the_producers_business(
    connection: RawConnection, case: dict[str, Any]
) -> None:
    """Stored as it came; the consumer's client finds it. The limit that the README tells."""
    topic = f"refusals-{VECTORS['produce'].index(case)}"
    assert connection.create_topic(topic, case.get("config", {})) == 0
    (row,) = case["steps"]
    assert connection.produce(topic, as_step(row)).error_code == 0


@pytest.mark.parametrize("row", VECTORS["topic_names"], ids=lambda row: repr(row["name"])[:40])
def test_topic_names_are_judged_as_kafka_does(
    connection: RawConnection, row: dict[str, Any]
) -> None:
    """CreateTopics, and Metadata that may create: no path leaves the data directory."""
    created = connection.create_topic(row["name"], {})
    assert created == row["create_topics"]
    if created == 0:
        assert connection.delete_topic(row["name"]) == 0
    else:
        assert connection.metadata_code(row["name"]) == row["metadata"]
