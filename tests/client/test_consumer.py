"""The consumer hands out every record once, in order, from wherever it was told to begin."""

from __future__ import annotations

import gc
import uuid
from collections.abc import Callable, Iterator
from itertools import islice

import pytest

from logserver.client import (
    Admin,
    ClientError,
    Consumer,
    ConsumerRecord,
    OffsetOutOfRange,
    Producer,
    Timestamp,
)
from tests.server_process import ServerProcess

NOW_MS = 1_763_000_000_000
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
COUNT = 5 * 600


@pytest.fixture(scope="module")
def topic(kafka_bootstrap: str) -> Iterator[str]:
    """Two partitions with 1,500 records each, in batches of all codecs; time is NOW_MS + index."""
    name = f"consumer-{uuid.uuid4().hex[:8]}"
    with Admin(kafka_bootstrap) as admin:
        admin.create_topic(name, partitions=2)
        for turn, codec in enumerate(CODECS):
            with Producer(kafka_bootstrap, compression=codec) as producer:  # type: ignore[arg-type]
                for index in range(turn * 600, turn * 600 + 600):
                    producer.send(
                        name, b"%d" % index, partition=index % 2, timestamp_ms=NOW_MS + index
                    )
                    if index % 100 == 99:
                        producer.flush()
        yield name


def indexes(records: list[ConsumerRecord]) -> list[int]:
    """What the values say, sorted."""
    return sorted(int(record.value or b"-1") for record in records)


def test_everything_is_read_once_and_in_order(kafka_bootstrap: str, topic: str) -> None:
    """By iteration, from the beginning to the end; small fetches and large."""
    for limit_bytes in (200, 5000, 2 << 20):
        with Consumer(
            kafka_bootstrap,
            topic,
            start="beginning",
            stop_at_end=True,
            partition_max_bytes=limit_bytes,
        ) as consumer:
            records = list(consumer)
            assert consumer.is_finished
            assert consumer.lag() == 0
            assert consumer.positions() == {(topic, 0): COUNT // 2, (topic, 1): COUNT // 2}
        assert indexes(records) == list(range(COUNT))
        for partition in (0, 1):
            offsets = [record.offset for record in records if record.partition == partition]
            assert offsets == list(range(COUNT // 2))
        assert all(r.timestamp_ms == NOW_MS + int(r.value or b"") for r in records)


@pytest.mark.parametrize("start", [0, 1, 37, 50, 51, 299, 300, 777, 1499, 1500])
def test_an_offset_inside_a_compressed_batch_is_met_exactly(
    kafka_bootstrap: str, topic: str, start: int
) -> None:
    """The server sends the whole batch; what lies before is skipped."""
    with Consumer(
        kafka_bootstrap, topic, partitions=[1], start=start, stop_at_end=True
    ) as consumer:
        assert [record.offset for record in consumer] == list(range(start, 1500))


@pytest.mark.parametrize("after", [0, 1, 700, 2999])
def test_a_timestamp_is_met_exactly(kafka_bootstrap: str, topic: str, after: int) -> None:
    """The first record at or after it, in each partition."""
    with Consumer(
        kafka_bootstrap, topic, start=Timestamp(NOW_MS + after), stop_at_end=True
    ) as consumer:
        assert indexes(list(consumer)) == list(range(after, COUNT))


def test_a_timestamp_behind_everything_is_the_end(kafka_bootstrap: str, topic: str) -> None:
    """Kafka answers -1; the next record to come is what one means."""
    with Consumer(kafka_bootstrap, topic, start=Timestamp(NOW_MS + COUNT)) as consumer:
        assert consumer.positions() == {(topic, 0): 1500, (topic, 1): 1500}
        assert consumer.poll(timeout_ms=10) == []


def test_polling_hands_out_at_most_what_was_asked(kafka_bootstrap: str, topic: str) -> None:
    """And goes on in the middle of a batch."""
    with Consumer(kafka_bootstrap, topic, start="beginning", stop_at_end=True) as consumer:
        records: list[ConsumerRecord] = []
        while not consumer.is_finished:
            piece = consumer.poll(records_max=7)
            assert len(piece) <= 7
            records += piece
        assert indexes(records) == list(range(COUNT))
        assert consumer.poll(timeout_ms=10) == []


def test_polling_without_waiting_gets_on(kafka_bootstrap: str, topic: str) -> None:
    """Each call asks and looks, however short its time."""
    with Consumer(kafka_bootstrap, topic, start="beginning", stop_at_end=True) as consumer:
        records: list[ConsumerRecord] = []
        while not consumer.is_finished:
            records += consumer.poll(timeout_ms=0)
        assert indexes(records) == list(range(COUNT))


def test_seeking_drops_what_was_on_its_way(kafka_bootstrap: str, topic: str) -> None:
    """Back, forward, to a time, in one partition or all, in the middle of an iteration."""
    with Consumer(kafka_bootstrap, topic, partitions=[0], start="beginning") as consumer:
        assert [r.offset for r in consumer.poll(records_max=3)] == [0, 1, 2]
        consumer.seek(1000)
        assert [r.offset for r in consumer.poll(records_max=3)] == [1000, 1001, 1002]
        consumer.seek(Timestamp(NOW_MS + 40))
        assert [r.offset for r in consumer.poll(records_max=2)] == [20, 21]
        consumer.seek("end", partition=1)
        assert [r.offset for r in consumer.poll(records_max=2)] == [22, 23]
        seen = []
        for record in consumer:
            seen.append(record.offset)
            if len(seen) == 5:
                consumer.seek(5)
            if len(seen) == 8:
                break
        assert seen == [24, 25, 26, 27, 28, 5, 6, 7]


def test_breaking_off_an_iteration_loses_nothing(kafka_bootstrap: str, topic: str) -> None:
    """The next one goes on with the next record, in the middle of a batch."""
    with Consumer(kafka_bootstrap, topic, partitions=[0], start="beginning") as consumer:
        seen = [record.offset for _ in range(40) for record in islice(consumer, 7)]
        assert seen == list(range(280))
        for record in consumer:
            assert record.offset == 280
            break
        assert [record.offset for record in consumer.poll(records_max=2)] == [281, 282]
        assert consumer.positions() == {(topic, 0): 283}


def test_starts_may_differ_by_partition(kafka_bootstrap: str, topic: str) -> None:
    """What is not named begins at the end."""
    with Consumer(kafka_bootstrap, topic, start={0: 1400}) as consumer:
        assert consumer.positions() == {(topic, 0): 1400, (topic, 1): 1500}


def test_an_offset_outside_the_log_is_an_explicit_error(kafka_bootstrap: str, topic: str) -> None:
    """It stays one until somebody seeks; other partitions have been read before."""
    with Consumer(kafka_bootstrap, topic, start={0: 9999, 1: 1490}) as consumer:
        seen: list[ConsumerRecord] = []
        for _ in range(2):
            with pytest.raises(OffsetOutOfRange, match=r"offset 9999 .* \(0 to 1500\)"):
                seen.extend(record for _ in range(12) for record in consumer.poll())
        consumer.seek(1499, partition=0)
        while len(seen) < 11:
            seen += consumer.poll()
        assert sorted((r.partition, r.offset) for r in seen) == [
            (0, 1499),
            *((1, offset) for offset in range(1490, 1500)),
        ]


def test_a_policy_goes_on_where_the_log_begins_or_ends(kafka_bootstrap: str, topic: str) -> None:
    """For those who said beforehand that a gap is fine."""
    for policy, expected in (("beginning", [0]), ("end", [])):
        with Consumer(
            kafka_bootstrap,
            topic,
            partitions=[0],
            start=9999,
            on_out_of_range=policy,  # type: ignore[arg-type]
        ) as consumer:
            assert [r.offset for r in consumer.poll(timeout_ms=200, records_max=1)] == expected


def test_new_records_reach_a_waiting_consumer(kafka_bootstrap: str, topic: str) -> None:
    """From the end on, several topics at once."""
    with Admin(kafka_bootstrap) as admin, Producer(kafka_bootstrap, linger_ms=0) as producer:
        names = [f"{topic}-{suffix}" for suffix in "ab"]
        for name in names:
            admin.create_topic(name, partitions=1)
        with Consumer(kafka_bootstrap, names) as consumer:
            for name in names:
                producer.send(name, name.encode())
            got = {record.topic: record.value for record in islice(consumer, 2)}
        assert got == {name: name.encode() for name in names}


def test_trimmed_records_are_gone_and_the_rest_is_there(kafka_bootstrap: str, topic: str) -> None:
    """DeleteRecords moves the beginning."""
    name = f"{topic}-trimmed"
    with Admin(kafka_bootstrap) as admin:
        admin.create_topic(name, partitions=1)
        with Producer(kafka_bootstrap) as producer:
            producer.send_batch(name, [b"%d" % index for index in range(100)])
        admin.delete_records(name, {0: 42})
        with Consumer(kafka_bootstrap, name, start="beginning", stop_at_end=True) as consumer:
            assert [record.offset for record in consumer] == list(range(42, 100))
        with (
            Consumer(kafka_bootstrap, name, start=41) as consumer,
            pytest.raises(OffsetOutOfRange, match=r"\(42 to 100\)"),
        ):
            consumer.poll()


def test_what_does_not_exist_is_told_at_once(kafka_bootstrap: str, topic: str) -> None:
    """Topics, partitions, odd starts."""
    with pytest.raises(ClientError, match="cannot use topic nowhere"):
        Consumer(kafka_bootstrap, "nowhere")
    with pytest.raises(ClientError, match=f"cannot read {topic}-2: UNKNOWN"):
        Consumer(kafka_bootstrap, topic, partitions=[2])
    with pytest.raises(ValueError, match="start 'middle'"):
        Consumer(kafka_bootstrap, topic, start="middle")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="partitions belong to one topic"):
        Consumer(kafka_bootstrap, [topic, topic], partitions=[0])


def test_a_killed_server_is_found_again(start_server: Callable[..., ServerProcess]) -> None:
    """The consumer goes on at its offset when the server is back on its port."""
    server = start_server()
    with Producer(server.bootstrap) as producer:
        producer.send_batch("t", [b"%d" % index for index in range(100)], partition=0).wait()
        with Consumer(server.bootstrap, "t", start="beginning") as consumer:
            seen = list(islice(consumer, 60))
            server.kill()
            server.start()
            producer.send_batch("t", [b"%d" % index for index in range(100, 200)], partition=0)
            seen += islice(consumer, 140)
    assert [record.offset for record in seen] == list(range(200))
    assert indexes(seen) == list(range(200))


def test_a_consumer_that_is_dropped_closes_its_connections(
    kafka_bootstrap: str, topic: str
) -> None:
    """A loop to the end needs no `with`: no socket is left for the collector to complain about."""
    consumer = Consumer(kafka_bootstrap, topic, start="beginning", stop_at_end=True)
    assert sum(1 for _ in consumer) == COUNT
    controls = [consumer._data.control(), consumer._questions.control()]
    assert all(control.is_open for control in controls)
    del consumer
    gc.collect()
    assert not any(control.is_open for control in controls)


def test_a_server_that_stays_away_becomes_an_error(
    start_server: Callable[..., ServerProcess],
) -> None:
    """After `retry_timeout_ms`, with the reason."""
    server = start_server()
    with Producer(server.bootstrap) as producer:
        producer.send("t", b"v").result()
    with Consumer(server.bootstrap, "t", retry_timeout_ms=300) as consumer:
        server.kill()
        with pytest.raises(ClientError, match=r"closed the connection|cannot connect"):
            consumer.poll(timeout_ms=20_000)


def test_read_1_kb_records(benchmark: object, kafka_bootstrap: str, topic: str) -> None:
    """Micro-benchmark: ten thousand records from the page cache."""
    name = f"{topic}-bench"
    with Producer(kafka_bootstrap) as producer:
        producer.send_batch(name, [bytes(1000)] * 10_000, partition=0).wait()

    def run() -> None:
        with Consumer(kafka_bootstrap, name, start="beginning", stop_at_end=True) as consumer:
            assert sum(1 for _ in consumer) == 10_000

    benchmark(run)  # type: ignore[operator]
