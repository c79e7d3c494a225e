"""What consumer groups see of a real broker: topics, versions, settings."""

from __future__ import annotations

from logserver.broker.groups.broker_cluster import BrokerCluster
from logserver.broker.groups.cluster import topic_hash
from tests.broker.control_bench import ControlBench

GROUP_RESOURCE = 32


def test_topics_are_found_by_name_and_by_id() -> None:
    """Only those that exist."""
    bench = ControlBench()
    bench.create("orders", 3)
    cluster = bench.broker.coordinators.cluster
    topic_id = cluster.topic_id("orders")
    assert topic_id is not None
    assert (cluster.topic_name(topic_id), cluster.partition_count(topic_id)) == ("orders", 3)
    assert cluster.topic_hash("orders") == topic_hash("orders", topic_id, 3)
    assert (cluster.topic_id("none"), cluster.topic_hash("none")) == (None, None)
    assert (cluster.topic_name(bytes(16)), cluster.partition_count(bytes(16))) == (None, 0)


def test_a_topic_that_changes_moves_the_version_and_its_hash() -> None:
    """More partitions, and a new topic under the old name."""
    bench = ControlBench()
    bench.create("orders", 3)
    cluster = bench.broker.coordinators.cluster
    seen = [(cluster.version, cluster.topic_hash("orders"))]
    bench.call(37, 3, {"topics": [{"name": "orders", "count": 4, "assignments": None}]})
    seen.append((cluster.version, cluster.topic_hash("orders")))
    bench.delete("orders")
    bench.create("orders", 4)
    seen.append((cluster.version, cluster.topic_hash("orders")))
    assert len({version for version, _ in seen}) == len({number for _, number in seen}) == 3


def test_only_names_that_come_or_go_move_their_version() -> None:
    """A configuration that changes is no reason to match expressions again."""
    bench = ControlBench()
    bench.create("orders", 1)
    cluster = bench.broker.coordinators.cluster
    before = cluster.names_version
    bench.call(22, 4, {"transactional_id": None})
    assert (cluster.names_version, set(cluster.topic_names())) == (before, {"orders"})
    bench.create("more", 1)
    assert cluster.names_version > before


def test_a_group_has_its_own_settings_above_those_of_the_broker() -> None:
    """The bounds are the broker's; the policy is read into its two directions."""
    bench = ControlBench(
        {
            "group.consumer.migration.policy": "UPGRADE",
            "group.consumer.max.size": "7",
            "group.consumer.assignors": "range",
        }
    )
    cluster = bench.broker.coordinators.cluster
    settings = cluster.settings("g")
    assert (settings.upgrades, settings.downgrades, settings.size_max) == (True, False, 7)
    assert (settings.assignors, settings.session_timeout_ms) == (("range",), 45_000)
    record = {
        "resource_type": GROUP_RESOURCE,
        "resource_name": "g",
        "name": "consumer.session.timeout.ms",
        "value": "50000",
    }
    bench.broker.metadata_log.append([("ConfigRecord", 0, record)], 0)
    assert cluster.settings("g").session_timeout_ms == 50_000
    assert cluster.settings("other").session_timeout_ms == 45_000


def test_settings_of_many_groups_do_not_pile_up() -> None:
    """Names of groups are the clients' choice."""
    cluster = BrokerCluster(ControlBench().broker)
    for number in range(10_050):
        cluster.settings(str(number))
    assert len(cluster._settings) < 10_050
