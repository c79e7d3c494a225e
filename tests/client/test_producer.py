"""The producer against a real server: every codec, every report, and a server that is killed."""

from __future__ import annotations

import gc
import uuid
from collections.abc import Callable
from threading import Event, Thread

import pytest

from logserver.client import Admin, ClientError, Consumer, Delivery, Producer
from logserver.client.partitioner import partition_for_key
from tests.client.scripted_broker import ScriptedBroker
from tests.server_process import ServerProcess

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
NOW_MS = 1_763_000_000_000


@pytest.fixture
def topic(kafka_bootstrap: str) -> str:
    """A fresh topic of three partitions."""
    name = f"producer-{uuid.uuid4().hex[:8]}"
    with Admin(kafka_bootstrap) as admin:
        admin.create_topic(name, partitions=3)
    return name


def everything(bootstrap: str, topic: str) -> dict[tuple[int, int], bytes | None]:
    """All values of a topic by partition and offset."""
    with Consumer(bootstrap, topic, start="beginning", stop_at_end=True) as consumer:
        return {(record.partition, record.offset): record.value for record in consumer}


@pytest.mark.parametrize("compression", CODECS)
def test_every_record_arrives_where_its_delivery_says(
    kafka_bootstrap: str, topic: str, compression: str
) -> None:
    """Keys by murmur2, keyless ones anywhere; nulls and headers survive."""
    with Producer(kafka_bootstrap, compression=compression) as producer:  # type: ignore[arg-type]
        sent = [
            (
                producer.send(
                    topic,
                    b"value-%d" % index if index % 7 else None,
                    key=b"key-%d" % (index % 11) if index % 2 else None,
                    headers=[("n", b"%d" % index), ("none", None)] if index % 3 else (),
                    timestamp_ms=NOW_MS + index,
                ),
                index,
            )
            for index in range(1000)
        ]
    by_place = {
        (where.partition, where.offset): index
        for delivery, index in sent
        for where in [delivery.result()]
    }
    assert len(by_place) == 1000
    with Consumer(kafka_bootstrap, topic, start="beginning", stop_at_end=True) as consumer:
        for record in consumer:
            index = by_place.pop((record.partition, record.offset))
            assert record.value == (b"value-%d" % index if index % 7 else None)
            assert record.timestamp_ms == NOW_MS + index
            assert record.headers == ((("n", b"%d" % index), ("none", None)) if index % 3 else ())
            if record.key is not None:
                assert record.key == b"key-%d" % (index % 11)
                assert record.partition == partition_for_key(record.key, 3)
    assert not by_place


def test_many_values_at_once_arrive_in_order(kafka_bootstrap: str, topic: str) -> None:
    """send_batch over several batches, into one partition and spread."""
    values = [b"%06d" % index for index in range(20_000)]
    with Producer(kafka_bootstrap, batch_size_bytes=50_000) as producer:
        deliveries = producer.send_batch(topic, values, partition=1)
        assert deliveries.wait() == 20_000
        assert deliveries.is_done
        assert [where.offset for where in deliveries.results()] == list(range(20_000))
        assert producer.send_batch(topic, values).wait() == 20_000
        assert producer.send_batch(topic, []).wait() == 0
    stored = everything(kafka_bootstrap, topic)
    assert len(stored) == 40_000
    assert [stored[1, offset] for offset in range(20_000)] == values


def test_many_records_go_where_their_keys_say(kafka_bootstrap: str, topic: str) -> None:
    """send_records with and without keys, in one call."""
    records = [(b"k%d" % (i % 9) if i % 4 else None, b"%d" % i, (), NOW_MS) for i in range(3000)]
    with Producer(kafka_bootstrap) as producer:
        where = producer.send_records(topic, records).results()
    stored = everything(kafka_bootstrap, topic)
    for (key, value, _, _), place in zip(records, where, strict=True):
        assert stored[place.partition, place.offset] == value
        if key is not None:
            assert place.partition == partition_for_key(key, 3)


def test_callbacks_run_once_for_each_record(kafka_bootstrap: str, topic: str) -> None:
    """In the background, with the delivery; one that raises harms nobody."""
    seen: list[int] = []

    def note(delivery: Delivery) -> None:
        seen.append(delivery.result().offset)
        if len(seen) == 7:
            raise ZeroDivisionError

    with Producer(kafka_bootstrap) as producer:
        for _ in range(100):
            producer.send(topic, b"v", partition=0, on_delivery=note)
        producer.flush()
        assert seen == list(range(100))
        assert producer.send(topic, b"v", partition=0).result().offset == 100


def test_a_buffer_smaller_than_the_data_holds_the_caller_back(
    kafka_bootstrap: str, topic: str
) -> None:
    """Ten megabytes through a buffer of 200 KB; what is buffered never exceeds it."""
    with Producer(
        kafka_bootstrap, buffer_memory_bytes=200_000, batch_size_bytes=50_000
    ) as producer:
        for index in range(10_000):
            producer.send(topic, b"%1000d" % index, partition=0)
            if index % 100 == 0:
                assert producer.statistics()["buffered_bytes"] <= 200_000
        producer.flush()
        assert producer.statistics()["buffered_bytes"] == 0
    stored = everything(kafka_bootstrap, topic)
    assert [stored[0, index] for index in range(10_000)] == [b"%1000d" % i for i in range(10_000)]


def test_a_topic_is_created_by_sending_to_it(kafka_bootstrap: str) -> None:
    """auto.create.topics.enable is on by default, as in Kafka; a producer may decline."""
    name = f"created-{uuid.uuid4().hex[:8]}"
    with (
        Producer(kafka_bootstrap, auto_create_topics=False) as producer,
        pytest.raises(ClientError, match="UNKNOWN_TOPIC_OR_PARTITION"),
    ):
        producer.send(name, b"v")
    with Producer(kafka_bootstrap) as producer:
        assert producer.send(name, b"v").result().offset == 0
        assert producer.partitions(name) >= 1


def test_what_cannot_be_sent_is_told_at_the_door(kafka_bootstrap: str, topic: str) -> None:
    """Types, sizes, partitions and names; nothing of it reaches the server."""
    with Producer(kafka_bootstrap) as producer:
        with pytest.raises(TypeError, match="value is bytes, not str"):
            producer.send(topic, "text")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="key is bytes, not int"):
            producer.send(topic, b"", key=1)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="value is bytes, not str"):
            producer.send_batch(topic, ["text"])  # type: ignore[list-item]
        with pytest.raises(ClientError, match="is above 1048576"):
            producer.send(topic, bytes(1 << 20))
        with pytest.raises(ClientError, match="has no partition 3, only 0 to 2"):
            producer.send(topic, b"", partition=3)
        with pytest.raises(ClientError, match="INVALID_TOPIC_EXCEPTION"):
            producer.send("no/such", b"")
        assert producer.send(topic, bytearray(b"fine"), key=memoryview(b"k")).result().offset == 0
    assert len(everything(kafka_bootstrap, topic)) == 1


def test_records_that_cannot_be_encoded_fail_alone(kafka_bootstrap: str, topic: str) -> None:
    """A timestamp beyond 64 bits passes the door and fails its batch, not the sender."""
    with Producer(kafka_bootstrap) as producer:
        bad = producer.send(topic, b"v", timestamp_ms=1 << 70)
        with pytest.raises(ClientError, match="cannot be encoded"):
            bad.result()
        assert producer.send(topic, b"v").result().offset == 0


def test_options_that_contradict_are_refused(kafka_bootstrap: str) -> None:
    """Before any connection is made."""
    for options in (
        {"acks": 2},
        {"compression": "brotli"},
        {"acks": 1, "idempotent": True},
        {"max_in_flight": 6},
        {"batch_size_bytes": 2000, "buffer_memory_bytes": 1000},
    ):
        with pytest.raises(ValueError, match=r"acks|batch"):
            Producer(kafka_bootstrap, **options)


def test_closing_delivers_and_then_refuses(kafka_bootstrap: str, topic: str) -> None:
    """Twice is once; a send afterwards is told."""
    producer = Producer(kafka_bootstrap, linger_ms=60_000)
    delivery = producer.send(topic, b"v")
    producer.close()
    producer.close()
    assert delivery.result().offset == 0
    with pytest.raises(ClientError, match="closed"):
        producer.send(topic, b"v")
    with pytest.raises(ClientError, match="closed"):
        producer.send("another", b"v")


def test_closing_with_a_limit_gives_up_what_is_left() -> None:
    """A server that never answers does not hold the program."""
    with ScriptedBroker(["silent"] * 10) as broker:
        producer = Producer(broker.bootstrap, linger_ms=0)
        delivery = producer.send("t", b"v")
        producer.close(timeout_ms=50)
        with pytest.raises(ClientError, match="not delivered before the producer was closed"):
            delivery.result()


def test_a_forgotten_producer_still_delivers(kafka_bootstrap: str, topic: str) -> None:
    """Dropped without close: the records leave, the thread ends, the sockets are closed."""
    producer = Producer(kafka_bootstrap, linger_ms=60_000)
    delivery = producer.send(topic, b"v")
    thread = producer._thread
    del producer
    gc.collect()
    assert delivery.result(10_000).offset == 0
    thread.join(10)
    assert not thread.is_alive()


def test_many_threads_may_send(kafka_bootstrap: str, topic: str) -> None:
    """Each record once, each thread's records in its order."""
    with Producer(kafka_bootstrap, batch_size_bytes=2000) as producer:

        def send(name: int) -> None:
            for index in range(1000):
                producer.send(topic, b"%d:%d" % (name, index), partition=0)

        threads = [Thread(target=send, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    stored = everything(kafka_bootstrap, topic)
    assert len(stored) == 4000
    for name in range(4):
        mine = [value for _, value in sorted(stored.items()) if value and value[0] == 48 + name]
        assert mine == [b"%d:%d" % (name, index) for index in range(1000)]


def test_a_killed_server_loses_and_doubles_nothing(
    start_server: Callable[..., ServerProcess],
) -> None:
    """kill -9 in mid-stream, three times; the producer goes on by itself on the same port."""
    server = start_server()
    delivered = Event()
    with Producer(server.bootstrap, linger_ms=1, batch_size_bytes=5000) as producer:
        deliveries = []
        for index in range(6000):
            note = (lambda _: delivered.set()) if index % 1500 == 700 else None
            deliveries.append(producer.send("t", b"%06d" % index, partition=0, on_delivery=note))
            if index in (1500, 3000, 4500):
                assert delivered.wait(20)
                delivered.clear()
                server.kill()
                server.start()
        producer.flush(60_000)
        offsets = [delivery.result().offset for delivery in deliveries]
        assert producer.statistics()["retries_count"] > 0
    assert offsets == list(range(6000))
    stored = everything(server.bootstrap, "t")
    assert [stored[0, index] for index in range(6000)] == [b"%06d" % i for i in range(6000)]


def test_send_of_1_kb(benchmark: object, kafka_bootstrap: str, topic: str) -> None:
    """Micro-benchmark: a thousand records by `send`, delivered."""
    with Producer(kafka_bootstrap) as producer:
        value = bytes(1000)

        def run() -> None:
            for _ in range(1000):
                producer.send(topic, value)
            producer.flush()

        benchmark(run)  # type: ignore[operator]


def test_send_batch_of_1_kb(benchmark: object, kafka_bootstrap: str, topic: str) -> None:
    """Micro-benchmark: a thousand records by `send_batch`, delivered."""
    with Producer(kafka_bootstrap) as producer:
        values = [bytes(1000)] * 1000
        benchmark(lambda: producer.send_batch(topic, values).wait())  # type: ignore[operator]
