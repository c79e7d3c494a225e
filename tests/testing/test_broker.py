"""logserver.testing.broker: a real server that starts, stops, dies and misbehaves at a word."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer as GroupConsumer
from confluent_kafka import TopicPartition

from logserver.client import Admin, ClientError, Producer
from logserver.testing import Broker, BrokerDied
from tests.testing.bench import connected, read, start_offset, write

DAY_S = 86_400
API_VERSIONS = 18
SOFTWARE = {"client_software_name": "a", "client_software_version": "1"}


def test_a_broker_serves_any_client_on_a_free_port(broker: Broker) -> None:
    """What is written is read back, over real sockets."""
    assert broker.port > 0
    assert write(broker, "t", b"a", b"b") == [0, 1]
    assert read(broker, "t") == [b"a", b"b"]
    assert (broker.data_dir / "t-0").is_dir()


def test_a_restart_keeps_directory_port_and_records(broker: Broker) -> None:
    """A clean stop is exit code 0."""
    write(broker, "t", b"a")
    before = broker.bootstrap
    assert broker.stop() == 0
    assert not broker.running
    broker.start()
    assert broker.bootstrap == before
    assert read(broker, "t") == [b"a"]


def test_what_was_acknowledged_survives_a_kill(broker: Broker) -> None:
    """kill -9, and the same directory again."""
    write(broker, "t", b"a", b"b")
    broker.kill()
    assert broker.exit_code == -9
    with (
        pytest.raises(ConnectionRefusedError),
        socket.create_connection((broker.host, broker.port)),
    ):
        pass
    broker.start()
    assert read(broker, "t") == [b"a", b"b"]


def test_two_brokers_live_side_by_side(tmp_path: Path) -> None:
    """Each has its directory and its port."""
    with Broker(tmp_path / "one") as one, Broker(tmp_path / "two") as two:
        write(one, "t", b"a")
        write(two, "t", b"b")
        assert (read(one, "t"), read(two, "t")) == ([b"a"], [b"b"])


def test_a_refused_start_says_why(tmp_path: Path) -> None:
    """The server's own sentence: a bad setting, a directory in use."""
    with pytest.raises(BrokerDied, match=r"num\.partitions"):
        Broker(tmp_path / "bad", {"num.partitions": "many"}).start()
    with Broker(tmp_path / "one"), pytest.raises(BrokerDied, match="locked by"):
        Broker(tmp_path / "one").start()


def test_a_start_that_cannot_be_leaves_nothing_to_end(tmp_path: Path) -> None:
    """A kill without a process id would be one of whoever runs the tests."""
    (tmp_path / "file").touch()
    broker = Broker(tmp_path / "file" / "data")
    with pytest.raises(OSError, match="file"):
        broker.start()
    assert not broker.running
    broker.close()


def test_the_place_of_a_broker_is_made(tmp_path: Path) -> None:
    """Its directory, and where that lies."""
    with Broker(tmp_path / "not" / "there" / "data") as broker:
        assert write(broker, "t", b"a") == [0]


def test_a_broker_that_died_says_so_with_its_log(broker: Broker) -> None:
    """An order to a server that is gone."""
    write(broker, "t", b"a")
    os.kill(broker.pid, signal.SIGKILL)
    with pytest.raises(BrokerDied, match="exit code -9"):
        broker.jump(1)
    assert not broker.running
    broker.start()
    assert read(broker, "t") == [b"a"]


def test_retention_follows_a_jump(tmp_path: Path) -> None:
    """A week passes at once: what is older than a day is gone, what comes after is kept."""
    with Broker(tmp_path / "b", {"log.retention.ms": DAY_S * 1000}) as broker:
        stamped_by_server = {"log.message.timestamp.type": "LogAppendTime"}
        broker.stop()
        broker.settings |= stamped_by_server
        broker.start()
        write(broker, "t", b"old", b"older")
        broker.jump(DAY_S - 3600)
        assert start_offset(broker, "t") == 0
        broker.jump(7200)
        assert start_offset(broker, "t") == 2
        write(broker, "t", b"new")
        assert read(broker, "t") == [b"new"]


def test_compaction_follows_a_jump(tmp_path: Path) -> None:
    """A segment grows old and is rolled; a quarter of a minute later it is compacted."""
    settings = {
        "log.cleanup.policy": "compact",
        "log.cleaner.min.cleanable.ratio": 0.001,
        "log.roll.ms": 60_000,
        "log.message.timestamp.type": "LogAppendTime",
    }
    with Broker(tmp_path / "b", settings) as broker:
        write(broker, "t", *(b"%d" % number for number in range(10)), key=b"k")
        broker.jump(61)
        write(broker, "t", b"new", key=b"other")
        broker.jump(60)
        assert read(broker, "t") == [b"9", b"new"]


def test_a_session_ends_in_a_jump(broker: Broker) -> None:
    """A member that is silent for longer than its session timeout is a member no more."""
    write(broker, "t", b"a")
    member = {"bootstrap.servers": broker.bootstrap, "group.id": "g"}
    # No heartbeat may come between the jump and the look.
    consumer = GroupConsumer(member | {"heartbeat.interval.ms": 40_000})
    consumer.subscribe(["t"])
    while not consumer.assignment():
        consumer.poll(0.1)
    with Admin(broker.bootstrap) as admin:
        assert len(admin.groups.describe("g").members) == 1
        broker.jump(46)
        assert admin.groups.describe("g").members == []
    consumer.close()


def test_committed_offsets_expire_in_a_jump(broker: Broker) -> None:
    """A week after their group has become empty."""
    write(broker, "t", b"a")
    consumer = GroupConsumer({"bootstrap.servers": broker.bootstrap, "group.id": "g"})
    place = TopicPartition("t", 0, 1)
    consumer.commit(offsets=[place], asynchronous=False)
    broker.jump(6 * DAY_S)
    assert consumer.committed([place], timeout=10)[0].offset == 1
    broker.jump(2 * DAY_S)
    assert consumer.committed([place], timeout=10)[0].offset < 0
    consumer.close()


def test_a_restart_does_not_turn_the_clock_back(tmp_path: Path) -> None:
    """The time that has passed has passed."""
    settings = {"log.message.timestamp.type": "LogAppendTime"}
    with Broker(tmp_path / "b", settings) as broker:
        broker.jump(DAY_S)
        broker.restart()
        with Producer(broker.bootstrap) as producer:
            stamp_ms = producer.send("t", b"a").result().timestamp_ms
        assert stamp_ms > (time.time() + DAY_S - 3600) * 1000


def test_connections_do_not_age_in_a_jump(broker: Broker) -> None:
    """Their peers live in real time: a client that is busy stays connected over a year."""
    with connected(broker) as connection:
        connection.request(API_VERSIONS, SOFTWARE)
        broker.jump(365 * DAY_S)
        connection.request(API_VERSIONS, SOFTWARE)


def test_a_fence_ends_the_process_after_its_grace_time(broker: Broker) -> None:
    """A failed sync: produce is refused, reads go on, and half a minute later it is exit 74."""
    write(broker, "t", b"kept")
    broker.failing_sync()
    with pytest.raises(ClientError):
        write(broker, "t", b"lost", delivery_timeout_ms=300)
    assert read(broker, "t") == [b"kept"]
    broker.jump(31)
    assert broker.wait() == 74
    broker.start()
    assert write(broker, "t", b"again")[0] >= 1


def test_a_full_disk_refuses_and_mends_itself(broker: Broker) -> None:
    """KAFKA_STORAGE_ERROR while the fault is on; the retry after it goes through."""
    write(broker, "t", b"a")
    with broker.full_disk():
        with pytest.raises(ClientError):
            write(broker, "t", b"no", delivery_timeout_ms=300)
        assert read(broker, "t") == [b"a"]
    assert write(broker, "t", b"b") == [1]


def test_a_slow_disk_holds_back_what_is_durable(broker: Broker) -> None:
    """The answer waits for the sync; the end of the fault lets it go on at once."""
    write(broker, "t", b"a")
    with Producer(broker.bootstrap, linger_ms=0) as producer:
        with broker.slow_disk(600):
            delivery = producer.send("t", b"b")
            with pytest.raises(ClientError):
                producer.flush(timeout_ms=300)
        assert delivery.result().offset == 1


def test_dropped_connections_are_counted_and_clients_come_back(broker: Broker) -> None:
    """A producer that is cut off writes on."""
    with Producer(broker.bootstrap, linger_ms=0) as producer:
        producer.send("t", b"a").result()
        assert broker.drop_connections() >= 1
        assert producer.send("t", b"b").result().offset == 1
    assert read(broker, "t") == [b"a", b"b"]


def test_a_lost_answer_is_retried_without_a_duplicate(broker: Broker) -> None:
    """The record is in the log, nobody heard so: an idempotent producer sends it again."""
    with Producer(broker.bootstrap, linger_ms=0) as producer:
        producer.send("t", b"a").result()
        broker.lost_answers("Produce")
        assert producer.send("t", b"b").result().offset == 1
    assert read(broker, "t") == [b"a", b"b"]


def test_a_lost_answer_is_a_duplicate_without_idempotence(broker: Broker) -> None:
    """The same without: which shows that the answer was lost, and not the request."""
    with Producer(broker.bootstrap, linger_ms=0, idempotent=False) as producer:
        producer.send("t", b"a").result()
        broker.lost_answers("Produce")
        producer.send("t", b"b").result()
    assert read(broker, "t") == [b"a", b"b", b"b"]


def test_delayed_answers_run_into_the_clients_time_out(broker: Broker) -> None:
    """The request is carried out; its answer comes too late."""
    with connected(broker, request_timeout_ms=200) as connection:
        connection.request(API_VERSIONS, SOFTWARE)
        with broker.delayed_answers(600), pytest.raises(ClientError) as caught:
            connection.request(API_VERSIONS, SOFTWARE)
        assert caught.value.kind == "timeout"


def test_delayed_answers_leave_when_the_fault_is_off(broker: Broker) -> None:
    """What was held back comes at once: nobody waits out the time that a test has set."""
    with Producer(broker.bootstrap, linger_ms=0) as producer:
        producer.send("t", b"a").result()
        with broker.delayed_answers(600):
            delivery = producer.send("t", b"b")
            with pytest.raises(ClientError):
                producer.flush(timeout_ms=100)
        assert delivery.result().offset == 1


def test_an_unreachable_broker_takes_no_connection(broker: Broker) -> None:
    """Those that were there die; afterwards all is well."""
    with Producer(broker.bootstrap, linger_ms=0) as producer:
        producer.send("t", b"a").result()
        with broker.unreachable(), pytest.raises(ClientError):
            write(broker, "t", b"no")
        assert producer.send("t", b"b").result().offset == 1


def test_a_hanging_broker_answers_when_it_goes_on(broker: Broker) -> None:
    """Nothing is lost, all of it is late."""
    with Producer(broker.bootstrap, linger_ms=0) as producer:
        producer.send("t", b"a").result()
        with broker.hang():
            delivery = producer.send("t", b"b")
            with pytest.raises(ClientError):
                producer.flush(timeout_ms=100)
        assert delivery.result().offset == 1


def test_a_fault_ends_with_the_process(broker: Broker) -> None:
    """A restarted server is healthy, and to switch the old fault off does nothing to it."""
    fault = broker.full_disk()
    broker.kill()
    broker.start()
    fault.off()
    assert write(broker, "t", b"a") == [0]


def test_an_api_that_kafka_does_not_have_is_an_error_of_the_test(broker: Broker) -> None:
    """A misspelt name would lose nothing, and the test would pass."""
    with pytest.raises(AssertionError, match="Prodduce"):
        broker.lost_answers("Prodduce")
