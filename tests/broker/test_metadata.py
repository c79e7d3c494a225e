"""Metadata, DescribeCluster, DescribeTopicPartitions: what clients steer by."""

import pytest

from logwire import errors
from logwire.messages import Message
from tests.broker.control_bench import NO_ID, ControlBench

ALL_TOPIC_OPERATIONS, ALL_CLUSTER_OPERATIONS, NOT_ASKED = 3576, 8096, -(2**31)


@pytest.fixture
def bench() -> ControlBench:
    """A broker with topics `a` (3 partitions) and `b` (2)."""
    bench = ControlBench({"broker.rack": "r1", "node.id": "7"})
    bench.create("a", 3)
    bench.create("b", 2)
    bench.sync()
    return bench


def metadata(
    bench: ControlBench, *names: str, version: int = 12, allow: bool = False
) -> list[tuple[str, int, int]]:
    """Name, code and number of partitions of the topics asked for."""
    topics = [{"name": name, "topic_id": NO_ID} for name in names]
    request = {"topics": topics, "allow_auto_topic_creation": allow}
    rows = bench.call(3, version, request)["topics"]
    return [(row["name"], row["error_code"], len(row["partitions"])) for row in rows]


@pytest.mark.parametrize("version", range(14))
def test_every_version_names_brokers_controller_cluster_and_leaders(
    bench: ControlBench, version: int
) -> None:
    """The controller is a broker of the list and the cluster id is never null."""
    answer = bench.call(3, version, {"topics": [{"name": "a", "topic_id": NO_ID}]})
    (node,) = answer["brokers"]
    assert (node["node_id"], node["host"], node["port"]) == (7, "127.0.0.1", 9092)
    assert node["rack"] == ("r1" if version >= 1 else None)
    assert answer["controller_id"] == (7 if version >= 1 else -1)
    assert (answer["cluster_id"] or "") == (bench.broker.cluster_id if version >= 2 else "")
    (topic,) = answer["topics"]
    assert bytes(topic["topic_id"]) == (bench.topic_id("a") if version >= 10 else NO_ID)
    for index, partition in enumerate(topic["partitions"]):
        assert (partition["partition_index"], partition["leader_id"]) == (index, 7)
        assert (partition["replica_nodes"], partition["isr_nodes"]) == ([7], [7])
        assert partition["offline_replicas"] == []
        assert partition["leader_epoch"] == (0 if version >= 7 else -1)


def test_all_topics_are_asked_for_by_null_and_in_version_0_by_nothing(bench: ControlBench) -> None:
    """An empty list means no topics from version 1 on."""
    assert metadata(bench, version=0) == [("a", 0, 3), ("b", 0, 2)]
    assert metadata(bench, version=1) == []
    rows = bench.call(3, 9, {"topics": None})["topics"]
    assert [row["name"] for row in rows] == ["a", "b"]


def test_a_missing_topic_is_created_where_both_sides_allow_it(bench: ControlBench) -> None:
    """The answer has the partitions already and waits for the disk."""
    assert metadata(bench, "new") == [("new", errors.UNKNOWN_TOPIC_OR_PARTITION, 0)]
    assert not bench.context.after_sync
    assert metadata(bench, "new", allow=True) == [("new", errors.NONE, 1)]
    assert bench.context.after_sync
    assert metadata(bench, "old", version=1) == [("old", errors.NONE, 1)]


def test_creation_on_demand_can_be_switched_off() -> None:
    """auto.create.topics.enable=false."""
    bench = ControlBench({"auto.create.topics.enable": "false"})
    assert metadata(bench, "new", allow=True) == [("new", errors.UNKNOWN_TOPIC_OR_PARTITION, 0)]


def test_names_that_cannot_be_created_are_told_so(bench: ControlBench) -> None:
    """Illegal names whether creation is allowed or not; internal topics are never created so."""
    bench.create("x.y")
    for allow in (True, False):
        rows = metadata(bench, "a/b", "", "__consumer_offsets", allow=allow)
        assert [code for _, code, _ in rows] == [17, 17, 3]
    assert metadata(bench, "x_y", allow=True) == [("x_y", errors.INVALID_TOPIC_EXCEPTION, 0)]


def test_creation_on_demand_stops_at_the_limit() -> None:
    """A client that asks for random names must not fill the server."""
    bench = ControlBench({"logserver.partitions.max": "2"})
    rows = metadata(bench, "a", "b", "c", allow=True)
    assert [code for _, code, _ in rows] == [0, 0, errors.POLICY_VIOLATION]


def test_topics_are_found_by_id(bench: ControlBench) -> None:
    """Ids win over names in one request, an unknown id has a code of its own."""
    topic_id = bench.topic_id("a")
    topics = [{"name": None, "topic_id": topic_id}, {"name": None, "topic_id": b"x" * 16}]
    rows = bench.call(3, 12, {"topics": [*topics, {"name": "b", "topic_id": NO_ID}]})["topics"]
    assert [(row["name"], row["error_code"]) for row in rows] == [
        ("a", errors.NONE),
        (None, errors.UNKNOWN_TOPIC_ID),
    ]


@pytest.mark.parametrize("name", ["a", None])
def test_versions_10_and_11_carry_ids_that_nobody_may_use(
    bench: ControlBench, name: str | None
) -> None:
    """The whole request is refused, in a form that the version can say."""
    topics = [{"name": name, "topic_id": bench.topic_id("a")}]
    (row,) = bench.call(3, 10, {"topics": topics})["topics"]
    assert (row["name"], row["error_code"]) == (name or "", errors.INVALID_REQUEST)


def test_operations_are_told_when_asked_for(bench: ControlBench) -> None:
    """All of them: nobody is refused anything."""
    request = {
        "topics": [{"name": "a", "topic_id": NO_ID}],
        "include_topic_authorized_operations": True,
        "include_cluster_authorized_operations": True,
    }
    answer = bench.call(3, 8, request)
    assert answer["topics"][0]["topic_authorized_operations"] == ALL_TOPIC_OPERATIONS
    assert answer["cluster_authorized_operations"] == ALL_CLUSTER_OPERATIONS
    answer = bench.call(3, 8, {"topics": [{"name": "a"}]})
    assert answer["topics"][0]["topic_authorized_operations"] == NOT_ASKED


def test_the_address_is_the_advertised_one_of_the_listener() -> None:
    """Each listener has its own; without one, the client hears what it connected to."""
    given = {
        "listeners": "PLAINTEXT://0.0.0.0:9092,INNER://0.0.0.0:29092",
        "advertised.listeners": "PLAINTEXT://outside:19092",
    }
    bench = ControlBench(given)
    node = bench.call(3, 12, {"topics": []})["brokers"][0]
    assert (node["host"], node["port"]) == ("outside", 19092)
    node = bench.call(60, 0, {})["brokers"][0]
    assert (node["host"], node["port"]) == ("outside", 19092)


def test_the_cluster_is_described_to_those_who_ask_for_brokers(bench: ControlBench) -> None:
    """Controllers are not on this listener."""
    answer = bench.call(60, 2, {"include_cluster_authorized_operations": True})
    assert (answer["cluster_id"], answer["controller_id"]) == (bench.broker.cluster_id, 7)
    assert [node["broker_id"] for node in answer["brokers"]] == [7]
    assert answer["cluster_authorized_operations"] == ALL_CLUSTER_OPERATIONS
    for endpoint_type, code in ((2, 114), (3, 115)):
        refused = bench.call(60, 1, {"endpoint_type": endpoint_type})
        assert (refused["error_code"], refused["brokers"]) == (code, [])


def pages(bench: ControlBench, limit: int, *names: str) -> list[list[tuple[str, list[int]]]]:
    """All pages of DescribeTopicPartitions, by following the cursor."""
    found = []
    cursor: Message | None = None
    while True:
        request = {
            "topics": [{"name": name} for name in names],
            "response_partition_limit": limit,
            "cursor": cursor,
        }
        answer = bench.call(75, 0, request)
        found.append(
            [
                (row["name"], [partition["partition_index"] for partition in row["partitions"]])
                for row in answer["topics"]
            ]
        )
        cursor = answer["next_cursor"]
        if cursor is None:
            return found


def test_pages_of_partitions_follow_the_cursor(bench: ControlBench) -> None:
    """In the order of names; a page has at least one partition."""
    whole = [("a", [0, 1, 2]), ("b", [0, 1])]
    assert pages(bench, 2000) == [whole]
    assert pages(bench, 2000, "b", "a") == [whole]
    assert pages(bench, 2) == [[("a", [0, 1])], [("a", [2]), ("b", [0])], [("b", [1])]]
    assert pages(bench, 3) == [[("a", [0, 1, 2])], [("b", [0, 1])]]
    assert sum(len(page) for page in pages(bench, 0)) == 5


def test_a_page_never_exceeds_the_servers_limit() -> None:
    """max.request.partition.size.limit."""
    bench = ControlBench({"max.request.partition.size.limit": "2"})
    bench.create("a", 3)
    assert pages(bench, 2000) == [[("a", [0, 1])], [("a", [2])]]


def test_replicas_that_java_dereferences_are_never_null(bench: ControlBench) -> None:
    """Eligible leader replicas, and the last known ones."""
    (topic,) = bench.call(75, 0, {"topics": [{"name": "a"}]})["topics"]
    for partition in topic["partitions"]:
        assert partition["eligible_leader_replicas"] == partition["last_known_elr"] == []
    assert topic["topic_authorized_operations"] == ALL_TOPIC_OPERATIONS


def test_missing_topics_have_a_row_in_their_page(bench: ControlBench) -> None:
    """Unknown and illegal names."""
    names = [{"name": name} for name in ("a", "nope", "a/b")]
    rows = bench.call(75, 0, {"topics": names})["topics"]
    assert [(row["name"], row["error_code"]) for row in rows] == [
        ("a", 0),
        ("a/b", 17),
        ("nope", 3),
    ]


@pytest.mark.parametrize(("name", "index"), [("a", -1), ("b", 0)])
def test_a_cursor_that_leads_nowhere_is_refused(bench: ControlBench, name: str, index: int) -> None:
    """A negative partition, or a topic that was not asked for."""
    cursor = {"topic_name": name, "partition_index": index}
    answer = bench.call(75, 0, {"topics": [{"name": "a"}], "cursor": cursor})
    assert [row["error_code"] for row in answer["topics"]] == [errors.INVALID_REQUEST]
    assert answer["next_cursor"] is None
