"""FindCoordinator: this broker, which makes room for groups when it is first asked."""

import pytest

from logwire import errors
from tests.broker.control_bench import ControlBench

OFFSETS = "__consumer_offsets"
FATAL = errors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED


@pytest.mark.parametrize(
    ("key_type", "version", "code"),
    [(1, 6, FATAL), (9, 6, errors.INVALID_REQUEST), (2, 6, errors.INVALID_REQUEST), (1, 1, FATAL)],
)
def test_transactions_and_unknown_keys_are_refused(key_type: int, version: int, code: int) -> None:
    """Transactions with the code that clients take for fatal, shares like Kafka without them."""
    bench = ControlBench()
    keys = ["g", "g:AAAAAAAAAAAAAAAAAAAAAQ:0"]
    answer = bench.call(10, version, {"key_type": key_type, "key": "g", "coordinator_keys": keys})
    rows = answer["coordinators"] if version > 3 else [answer]
    for row in rows:
        assert (row["error_code"], row["node_id"], row["port"]) == (code, -1, -1)
        assert row["error_message"]
    assert OFFSETS not in bench.broker.image.topics_by_name


@pytest.mark.parametrize("version", range(7))
def test_a_group_is_looked_after_by_this_broker(version: int) -> None:
    """At the address that Metadata tells; single answers say NONE, batched ones nothing."""
    bench = ControlBench({"advertised.listeners": "PLAINTEXT://broker.example:9999"})
    answer = bench.call(10, version, {"key": "g", "coordinator_keys": ["g", "h"], "key_type": 0})
    rows = answer["coordinators"] if version > 3 else [answer]
    for row in rows:
        assert (row["error_code"], row["node_id"], row["host"], row["port"]) == (
            0,
            1,
            "broker.example",
            9999,
        )
    if version > 3:
        assert [row["key"] for row in rows] == ["g", "h"]
    assert rows[0].get("error_message", "") == ("NONE" if 1 <= version < 4 else "")


def test_the_first_to_look_makes_the_offsets_topic() -> None:
    """Compacted, in segments of its own size, durable before the answer leaves; once."""
    bench = ControlBench({"offsets.topic.num.partitions": "7"})
    bench.call(10, 4, {"coordinator_keys": ["g"]})
    assert bench.context.after_sync
    topic = bench.broker.image.topics_by_name[OFFSETS]
    assert len(topic.partitions) == 7
    assert bench.broker.image.topic_configs(OFFSETS) == {
        "cleanup.policy": "compact",
        "compression.type": "producer",
        "segment.bytes": "104857600",
    }
    bench.sync()
    bench.call(10, 4, {"coordinator_keys": ["g"]})
    assert not bench.context.after_sync
    bench.restart(clean=False)
    bench.call(10, 4, {"coordinator_keys": ["g"]})
    assert bench.broker.image.topics_by_name[OFFSETS].topic_id == topic.topic_id


def test_offsets_are_durable_where_the_default_is_relaxed() -> None:
    """A segment size below a topic's smallest is that smallest."""
    given = {"log.flush.interval.messages": "10000", "offsets.topic.segment.bytes": "1000"}
    bench = ControlBench(given)
    bench.call(10, 4, {"coordinator_keys": ["g"]})
    assert bench.partition(OFFSETS).durable
    assert bench.partition(OFFSETS).config.segment_bytes == 1_048_576


def test_without_room_for_its_partitions_there_is_no_coordinator() -> None:
    """A client asks again, and an operator raises the limit."""
    bench = ControlBench({"logserver.partitions.max": "49"})
    answer = bench.call(10, 4, {"coordinator_keys": ["g"]})
    assert answer["coordinators"][0]["error_code"] == errors.COORDINATOR_NOT_AVAILABLE
    assert OFFSETS not in bench.broker.image.topics_by_name
