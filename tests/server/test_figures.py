"""The statistics page as the server writes it."""

from __future__ import annotations

from pathlib import Path

from logserver.broker.groups.coordinator import Coordinator
from logserver.broker.groups.lag_watch import GroupLag
from logserver.broker.groups.offset_store import CommittedOffset
from logserver.broker.groups.progress import Look, Progress
from logserver.broker.telemetry.instances import Instance
from logserver.broker.telemetry.otlp import Point
from logserver.broker.telemetry.series import Source
from logserver.broker.telemetry.subscriptions import NOTHING
from logserver.server.figures import FiguresPublisher
from logserver.statistics import (
    PageReader,
    PartitionsReader,
    RuntimeDirectory,
    Series,
    read_series,
)
from tests.server.server_bench import ServerBench
from tests.server.test_connection import RELAXED, produce


def test_what_happened_stands_on_the_page(tmp_path: Path) -> None:
    """Requests, bytes, partitions, memory; the page is gone after the end."""
    bench = ServerBench(tmp_path / "data")
    runtime = RuntimeDirectory(str(tmp_path / "runtime"))
    publisher = FiguresPublisher(bench.server, runtime)
    publisher.more.append(lambda: {"http_requests": 7})

    async def scenario() -> None:
        await bench.create("r", flush_messages=RELAXED)
        client = await bench.connect()
        await client.ask(0, 11, produce("r"))

    bench.run(scenario())
    publisher.start()
    page = PageReader(runtime.page_path).snapshot()
    assert page.value("appended_records") == 1
    assert page.value("partitions") == 1
    assert page.value("ready") == 1
    assert page.value("http_requests") == 7
    assert page.value("anonymous_memory_bytes") > 1_000_000
    assert page.value("segments") == 1
    assert page.value("received_bytes") > 0
    reader = PartitionsReader(runtime.partitions_path)
    (row,) = [figures for n in reader.rows() if (figures := reader.read(n)) is not None]
    assert (row.topic, row.partition, row.end_offset, row.high_watermark) == ("r", 0, 1, 1)
    publisher.close()
    assert not (tmp_path / "runtime").exists()
    bench.close()


def test_what_clients_pushed_is_published(tmp_path: Path) -> None:
    """With the labels that tell series apart; the file goes with the others."""
    bench = ServerBench(tmp_path / "data")
    runtime = RuntimeDirectory(str(tmp_path / "runtime"))
    publisher = FiguresPublisher(bench.server, runtime)
    telemetry = bench.server.broker.telemetry
    point = Point("org.apache.kafka.consumer.a", 2.0, is_monotonic=False, is_delta=False)
    instance = Instance(bytes(16), NOTHING, 1, 0)
    telemetry.pushes_count += 1
    telemetry.export(Source("c", "g", "java", "4"), instance, [point], 10, 0)
    publisher.start()
    labels = (("client_id", "c"), ("group", "g"), ("software", "java"), ("version", "4"))
    assert list(read_series(runtime.series_path)) == [
        Series("kafka_client_consumer_a", 2.0, labels)
    ]
    page = PageReader(runtime.page_path).snapshot()
    assert (page.value("client_metrics_pushes"), page.value("client_metrics_series")) == (1, 1)
    publisher.close()
    assert not (tmp_path / "runtime").exists()
    bench.close()


def test_the_lag_of_groups_is_published(tmp_path: Path) -> None:
    """After each round; the file goes with the others."""
    bench = ServerBench(tmp_path / "data")
    runtime = RuntimeDirectory(str(tmp_path / "runtime"))
    publisher = FiguresPublisher(bench.server, runtime)
    coordinators = bench.server.broker.coordinators
    coordinators.by_index[0] = coordinator = Coordinator(
        bench.server.broker, bench.server.broker.metadata_partition
    )
    coordinator.offsets.put("readers", "orders", 3, CommittedOffset(5, 0, "", 0, -1, bytes(16)))
    group = coordinators.lag.groups["readers"] = GroupLag()
    progress = group.partitions["orders", 3] = Progress(bytes(16), Look(0, 5, 12), 0)
    group.totals.add(progress, 60_000)
    publisher.start()
    assert list(read_series(runtime.groups_path)) == []
    coordinators.lag.rounds_count += 1
    publisher._publish_series()
    of_group = (("group", "readers"),)
    labels = (*of_group, ("topic", "orders"), ("partition", "3"))
    assert list(read_series(runtime.groups_path)) == [
        Series("logserver_group_rebalances_total", 0.0, of_group),
        Series("logserver_group_stalled_partitions", 0.0, of_group),
        Series("logserver_group_slow_partitions", 0.0, of_group),
        Series("logserver_group_committed_offset", 5.0, labels),
        Series("logserver_group_lag_records", 7.0, labels),
    ]
    assert PageReader(runtime.page_path).snapshot().value("groups") == 0
    publisher.close()
    assert not (tmp_path / "runtime").exists()
    bench.close()
