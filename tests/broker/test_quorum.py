"""DescribeQuorum: one server is the whole quorum."""

import pytest

from logwire import errors
from logwire.messages import Message
from tests.broker.control_bench import ControlBench


def quorum(bench: ControlBench, version: int, name: str, index: int = 0) -> Message:
    """The whole answer about one partition."""
    topic = {"topic_name": name, "partitions": [{"partition_index": index}]}
    return bench.call(55, version, {"topics": [topic]})


@pytest.mark.parametrize("version", [0, 1, 2])
def test_this_server_leads_and_votes_alone(version: int) -> None:
    """What is not durable yet is above the high watermark."""
    bench = ControlBench({"node.id": "7"})
    bench.sync()
    durable_offset = bench.broker.metadata_log.log.end_offset
    bench.create("a")
    answer = quorum(bench, version, "__cluster_metadata")
    (partition,) = answer["topics"][0]["partitions"]
    (voter,) = partition["current_voters"]
    assert (answer["error_code"], partition["error_code"]) == (errors.NONE, errors.NONE)
    assert (partition["leader_id"], voter["replica_id"]) == (7, 7)
    assert partition["leader_epoch"] == bench.broker.metadata_log.log.leader_epoch + 1
    assert partition["high_watermark"] == durable_offset < voter["log_end_offset"]
    assert partition["observers"] == []
    if version >= 1:
        assert voter["last_caught_up_timestamp"] == bench.now_ms
    if version >= 2:
        (node,) = answer["nodes"]
        listener = {"name": "PLAINTEXT", "host": "127.0.0.1", "port": 9092}
        assert node == {"node_id": 7, "listeners": [listener]}


@pytest.mark.parametrize(("name", "index"), [("a", 0), ("__cluster_metadata", 1)])
def test_no_other_partition_has_a_quorum(name: str, index: int) -> None:
    """Not even one that is served."""
    bench = ControlBench()
    bench.create("a")
    answer = quorum(bench, 2, name, index)
    (partition,) = answer["topics"][0]["partitions"]
    assert partition["error_code"] == errors.UNKNOWN_TOPIC_OR_PARTITION
    assert (partition["current_voters"], answer["nodes"]) == ([], [])
