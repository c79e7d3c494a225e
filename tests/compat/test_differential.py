"""The same generated requests to Apache Kafka 4.3.1 and to us: what differs is in a table."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from logserver.broker.handlers import HANDLERS
from logwire.messages import APIS
from perf import servers
from tests.compat.differential import (
    ANSWER_TIMEOUT_S,
    CHANGING,
    READING,
    Difference,
    Wire,
    compared,
    differences,
    placeholder,
)
from tests.compat.sensible_requests import SensibleRequests

TABLE = Path(__file__).parent / "differences.toml"
# Another seed looks for differences that nobody has seen yet; this one reaches every row.
SEED = 20_260_401
OTHER_SEED = os.environ.get("LOGSERVER_TEST_SEED", "")
ROUNDS = 40
TRIES_MAX = 20
WARM_UP_TRIES_MAX = 400
NO_ID = bytes(16)
API_VERSIONS, CREATE_TOPICS, FIND_COORDINATOR, OFFSET_COMMIT, FETCH = 18, 19, 10, 8, 1
# Producer ids come in blocks of which each server has others.
LEFT_OUT = frozenset((22,))
SETTINGS = {"offsets.topic.num.partitions": "3", "log.segment.delete.delay.ms": "60000"}
# What the file of Kafka's release sets, so that sources of configurations agree.
OURS_ALONE = {
    "log.retention.hours": "168",
    "log.segment.bytes": "104857600",
    "num.partitions": "1",
    "log.retention.check.interval.ms": "300000",
}


def config(kind: int, name: str) -> dict[str, Any]:
    """A resource of DescribeConfigs, with all of its keys."""
    return {"resource_type": kind, "resource_name": name, "configuration_keys": None}


def alteration(kind: int, name: str, *configs: tuple[str, str]) -> dict[str, Any]:
    """A resource of AlterConfigs."""
    rows = [{"name": key, "value": value} for key, value in configs]
    return {"resource_type": kind, "resource_name": name, "configs": rows}


def fetched(group: str, topic: str) -> dict[str, Any]:
    """A group of OffsetFetch."""
    return {"group_id": group, "topics": [{"name": topic, "partition_indexes": [0]}]}


# What reaches the rows of the table that a random request seldom does: API, version, request.
CHOSEN: tuple[tuple[int, int, dict[str, Any]], ...] = (
    (18, 4, {"client_software_name": "kcat", "client_software_version": "1.0"}),
    (32, 4, {"resources": [config(4, "1"), config(8, "1")], "include_synonyms": True}),
    (32, 4, {"resources": [config(2, "a"), config(4, "")], "include_synonyms": True}),
    (33, 2, {"resources": [alteration(4, "", ("segment.bytes", "-1"))], "validate_only": True}),
    (33, 2, {"resources": [alteration(4, "1", ("retention.ms", "1"))], "validate_only": True}),
    (33, 2, {"resources": [alteration(4, "")], "validate_only": True}),
    (33, 2, {"resources": [alteration(16, "m")] * 3, "validate_only": True}),
    (3, 12, {"topics": [{"name": None, "topic_id": one} for one in (NO_ID, placeholder("a"))]}),
    (8, 7, {"group_id": "g", "topics": [{"name": "b", "partitions": []}]}),
    (9, 8, {"groups": [fetched("g", "a"), fetched("g", "b")]}),
    (10, 6, {"key_type": 2, "coordinator_keys": ["a"]}),
    (
        23,
        3,
        {
            "replica_id": -1,
            "topics": [{"topic": "a", "partitions": [{"partition": 0, "leader_epoch": -3}]}],
        },
    ),
    (38, 3, {"owner_principal_name": "a", "renewers": [], "max_lifetime_ms": 1}),
    (45, 1, {"allow_replication_factor_change": False, "topics": []}),
    (65, 0, {"transactional_ids": ["x"]}),
    (75, 0, {"topics": [{"name": "a/b"}, {"name": ""}, {"name": "2"}], "cursor": None}),
    (75, 0, {"topics": [{"name": "b"}, {"name": "x_y"}], "response_partition_limit": 0}),
)


class Pair(NamedTuple):
    """A connection to each server; `ranges` are the versions that Kafka offers."""

    reference: Wire
    ours: Wire
    ranges: dict[int, tuple[int, int]]


@pytest.fixture(scope="module")
def pair(kafka_jars: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Apache Kafka and our server, both fresh, with topics `a` and `b` and coordinators."""
    root = tmp_path_factory.mktemp("differential")
    kafka = servers.Kafka(root / "kafka", Path(kafka_jars).parent, SETTINGS)
    ours = servers.Logserver(root / "ours", servers.HERE.parent, {**SETTINGS, **OURS_ALONE})
    reference, own = Wire(*kafka.address), Wire(*ours.address)
    try:
        kafka.start()
        ours.start()
        answer = reference.ask(API_VERSIONS, 2, {})
        ranges = {
            row["api_key"]: (row["min_version"], row["max_version"]) for row in answer["api_keys"]
        }
        pair = Pair(reference, own, ranges)
        for wire in (reference, own):
            warm_up(wire)
        settle(pair)
        yield pair
    finally:
        reference.close()
        own.close()
        kafka.kill()
        ours.stop()


def warm_up(wire: Wire) -> None:
    """Make the topics, and wait until their groups have coordinators."""
    for name, count in (("a", 3), ("b", 1)):
        topic = {"name": name, "num_partitions": count, "replication_factor": 1}
        request = {"topics": [{**topic, "assignments": [], "configs": []}], "timeout_ms": 10_000}
        (row,) = wire.ask(CREATE_TOPICS, 7, request)["topics"]
        assert row["error_code"] == 0, row
    partition = {"partition_index": 0, "committed_offset": 5, "committed_metadata": ""}
    topics = [{"name": "a", "partitions": [partition]}]
    for group in ("g", "h"):
        wire.ask(FIND_COORDINATOR, 4, {"key_type": 0, "coordinator_keys": [group]})
        commit = {"group_id": group, "generation_id_or_member_epoch": -1, "member_id": ""}
        for _ in range(WARM_UP_TRIES_MAX):
            answer = wire.ask(OFFSET_COMMIT, 7, {**commit, "topics": topics})
            if not any(row["error_code"] for t in answer["topics"] for row in t["partitions"]):
                break
            rest(wire)
        else:
            pytest.fail(f"no coordinator for {group}: {answer}")


def rest(wire: Wire, wait_ms: int = 50) -> None:
    """Let the server take a breath: a fetch of nothing, held for so long."""
    partition = {"partition": 0, "fetch_offset": 0, "partition_max_bytes": 1}
    topics = [{"topic": "b", "partitions": [partition]}]
    assert wait_ms < ANSWER_TIMEOUT_S * 1000
    wire.ask(FETCH, 11, {"max_wait_ms": wait_ms, "min_bytes": 1, "topics": topics, "rack_id": ""})


def settle(pair: Pair) -> None:
    """Wait until both servers show the same topics."""
    for _ in range(TRIES_MAX * 5):
        if pair.reference.topics() == pair.ours.topics():
            return
        rest(pair.reference)
    pytest.fail(f"topics differ: {pair.reference.topics()} and {pair.ours.topics()}")


def ask_both(pair: Pair, api_key: int, version: int, request: dict[str, Any]) -> list[Difference]:
    """How the two answers differ; a question is asked again until Kafka has caught up."""
    found: list[Difference] = []
    for turn in range(5 if api_key in READING else 1):
        if turn:
            rest(pair.reference)
        reference = compared(pair.reference.ask(api_key, version, request), pair.reference)
        ours = compared(pair.ours.ask(api_key, version, request), pair.ours)
        found = list(differences(api_key, reference, ours))
        if not found:
            break
    return found


def requests(pair: Pair, random: Random) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """API, version and request: those that were chosen, then generated ones, API by API."""
    yield from CHOSEN
    served = sorted((set(HANDLERS) & set(pair.ranges)) - LEFT_OUT)
    source = SensibleRequests(random, [placeholder("a"), placeholder("b"), placeholder("a")])
    for _ in range(ROUNDS):
        for api_key in served:
            low, high = pair.ranges[api_key]
            api = APIS[api_key]
            version = random.randint(max(low, api.min_version), min(high, api.max_version))
            yield api_key, version, source.request(api_key, version)


def test_both_servers_answer_generated_requests_alike(pair: Pair) -> None:
    """Every API of the control plane that both serve, in every version, right and wrong."""
    seed = int(OTHER_SEED or SEED)
    print(f"seed {seed}")
    table = tomllib.loads(TABLE.read_text())["difference"]
    unused = [row for row in table if not row.get("sometimes")]
    unexplained = []
    for api_key, version, request in requests(pair, Random(seed)):
        for found in ask_both(pair, api_key, version, request):
            rows = [row for row in table if explains(row, found)]
            unused = [row for row in unused if row not in rows]
            if not rows:
                unexplained.append(f"v{version} {found}\n  {str(request)[:600]}")
        if api_key in CHANGING:
            settle(pair)
    assert not unexplained, "\n".join(unexplained)
    assert OTHER_SEED or not unused, f"nothing differs so any more: {unused}"


def explains(row: dict[str, Any], found: Difference) -> bool:
    """Whether a row of the table stands for this difference."""
    texts = {"api": found.api, "path": found.path, "kafka": found.reference, "ours": found.ours}
    return all(name not in row or re.fullmatch(row[name], text) for name, text in texts.items())


def test_every_difference_has_a_reason() -> None:
    """A row without one would be a bug that somebody hid."""
    for row in tomllib.loads(TABLE.read_text())["difference"]:
        assert len(row["reason"]) > 40, row


def test_a_difference_is_found_wherever_it_is() -> None:
    """In a number, a missing row, and an answer that did not come."""
    left = {"error_code": 0, "topics": [{"name": "a", "partitions": [{"partition": 1, "x": 1}]}]}
    right = {"error_code": 3, "topics": [{"name": "a", "partitions": [{"partition": 1, "x": 2}]}]}
    found = {one.path for one in differences(3, left, right)}
    assert found == {"error_code", "topics[].partitions[].x"}
    assert [one.path for one in differences(3, left, {**left, "topics": []})] == ["topics[]"]
    closed = differences(3, left, {"outcome": "closed"})
    assert {one.path for one in closed} == {"error_code", "outcome", "topics"}
