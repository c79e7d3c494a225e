"""logserver.moving.backup: a true copy of a directory that is written, rolled and deleted from."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random, SystemRandom

import pytest
from confluent_kafka import Consumer as GroupConsumer
from confluent_kafka import TopicPartition

from logserver.client import Admin, ClientError, Consumer, Producer
from logserver.moving.backup import Copied, copy_directory
from logserver.storage.failure import Kind, StorageError
from logserver.storage.files import RealFiles
from logserver.storage.verify import verify_directory
from logserver.testing import Broker, BrokerDied
from tests.moving.kafka_bench import NOW_MS

PARTITIONS = 3
KEYS = 10
VALUE_BYTES = 10_000
ROUNDS = 3


class Meanwhile(RealFiles):
    """A directory in which something happens each time that it has just been listed."""

    def __init__(self, directory: Path, *happens: Callable[[], None]) -> None:
        self._directory = str(directory)
        self._left = [*happens]

    def list_directory(self, path: str) -> list[str]:
        names = super().list_directory(path)
        if path == self._directory and self._left:
            self._left.pop(0)()
        return names


def back_up(
    source: Path, target: Path, files: RealFiles | None = None, *, links: bool = True
) -> Copied:
    """Copy a directory; verify finds nothing in it."""
    copied = copy_directory(
        files or RealFiles(),
        str(source),
        str(target),
        links=links,
        now_ms=NOW_MS,
        random=SystemRandom(),
        progress=lambda *_: None,
    )
    assert list(verify_directory(RealFiles(), str(target))) == []
    return copied


def values(broker: Broker, topic: str, partition: int = 0) -> list[bytes | None]:
    """Every value of a partition, from its start to what is its end now."""
    bounds = {"partitions": [partition], "start": "beginning", "stop_at_end": True}
    with Consumer(broker.bootstrap, topic, **bounds) as consumer:  # type: ignore[arg-type]
        return [record.value for record in consumer]


def committed_offsets(broker: Broker, *topics: str) -> list[int]:
    """What group g has committed of partition 0 of each topic; -1001 is nothing."""
    consumer = GroupConsumer({"bootstrap.servers": broker.bootstrap, "group.id": "g"})
    found = consumer.committed([TopicPartition(topic, 0) for topic in topics], timeout=20)
    consumer.close()
    return [partition.offset for partition in found]


def _number(value: bytes | None) -> int:
    """What a value of the load begins with."""
    return int((value or b"").split(b".")[0])


class Load:
    """Whoever uses a server at once: it writes, commits, makes and deletes topics until `stop`."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.acknowledged = [0] * PARTITIONS
        self.committed = 0
        self.deleted_count = 0
        self.failures: list[BaseException] = []
        self._ended = threading.Event()
        with Admin(broker.bootstrap) as admin:
            admin.create_topic("load", partitions=PARTITIONS)
            admin.create_topic("short", configs={"retention.bytes": "2000000"})
            admin.create_topic("keyed", configs={"cleanup.policy": "compact"})
        parts: tuple[Callable[[], None], ...] = (self._write, self._commit, self._come_and_go)
        self._threads = [threading.Thread(target=self._run, args=(part,)) for part in parts]
        for thread in self._threads:
            thread.start()

    def _run(self, part: Callable[[], None]) -> None:
        try:
            while not self._ended.is_set():
                part()
        except BaseException as error:
            self.failures.append(error)
            raise

    def _write(self) -> None:
        """Numbered records, in order; each batch of them acknowledged before the next."""
        with Producer(self.broker.bootstrap, linger_ms=0) as producer:
            while not self._ended.is_set():
                sent = []
                for partition in range(PARTITIONS):
                    first = self.acknowledged[partition]
                    for number in range(first, first + 20):
                        value = b"%d." % number
                        value += bytes(VALUE_BYTES - len(value))
                        sent.append(producer.send("load", value, partition=partition))
                sent.append(producer.send("short", bytes(VALUE_BYTES * 20)))
                for key in range(KEYS):
                    value = b"%d." % self.acknowledged[0]
                    value += bytes(VALUE_BYTES - len(value))
                    sent.append(producer.send("keyed", value, key=b"%d" % key))
                for delivery in sent:
                    delivery.result()
                for partition in range(PARTITIONS):
                    self.acknowledged[partition] += 20

    def _commit(self) -> None:
        """A group that has processed everything: it commits what partition 0 has acknowledged."""
        member = {"bootstrap.servers": self.broker.bootstrap, "group.id": "g"}
        consumer = GroupConsumer(member)
        while not self._ended.is_set():
            offset = self.acknowledged[0]
            consumer.commit(offsets=[TopicPartition("load", 0, offset)], asynchronous=False)
            self.committed = offset
        consumer.close()

    def _come_and_go(self) -> None:
        """Topics that are made, written and deleted, under one name."""
        with Admin(self.broker.bootstrap) as admin:
            admin.create_topic("passing", partitions=2)
            with Producer(self.broker.bootstrap, linger_ms=0) as producer:
                producer.send("passing", b"x").result()
            admin.delete_topic("passing")
            self.deleted_count += 1

    def wait_for(self, count: int) -> None:
        """Wait until so many more records are acknowledged, and a commit of some of them."""
        wanted = self.acknowledged[0] + count
        waited = threading.Event()
        while (self.acknowledged[0] < wanted or not self.committed) and not self.failures:
            waited.wait(0.01)
        assert not self.failures

    def stop(self) -> None:
        """End the load."""
        self._ended.set()
        for thread in self._threads:
            thread.join(30)


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """A server with small segments and eager retention, under load."""
    settings = {
        "log.segment.bytes": 1 << 20,
        "log.retention.check.interval.ms": 200,
        "log.cleaner.backoff.ms": 50,
        "log.cleaner.min.cleanable.ratio": 0.001,
    }
    with Broker(tmp_path / "data", settings) as broker:
        load = Load(broker)
        yield load
        load.stop()


def test_a_backup_under_load_holds_what_was_acknowledged_before(load: Load, tmp_path: Path) -> None:
    """A prefix of each partition, and no committed offset behind its end; several times."""
    compacted, linked_bytes = False, 0
    for number in range(ROUNDS):
        load.wait_for(300)
        acknowledged, committed = list(load.acknowledged), load.committed
        copied = back_up(load.broker.data_dir, tmp_path / f"backup-{number}")
        linked_bytes += copied.linked_bytes
        with Broker(tmp_path / f"backup-{number}") as restored:
            ends = []
            for partition in range(PARTITIONS):
                found = [_number(value) for value in values(restored, "load", partition)]
                assert found == list(range(len(found)))
                assert len(found) >= acknowledged[partition]
                ends.append(len(found))
            assert values(restored, "short")
            keyed = values(restored, "keyed")
            assert all(_number(value) >= acknowledged[0] - 20 for value in keyed[-KEYS:])
            compacted = compacted or len(keyed) < acknowledged[0] // 20 * KEYS
            (offset,) = committed_offsets(restored, "load")
            assert offset >= committed, "a commit is older than one acknowledged before"
            assert offset <= ends[0], "a commit points behind the end of its partition"
    load.stop()
    assert not load.failures
    assert load.deleted_count > 0
    assert linked_bytes > 1 << 20
    assert compacted, "no backup met a compacted log: the test has lost its edge"


def test_a_backup_is_closed_clean_and_the_source_is_left_alone(tmp_path: Path) -> None:
    """Of a stopped server: no byte of it changes, and a start on the copy reads no batch."""
    with Broker(tmp_path / "data") as broker, Producer(broker.bootstrap) as producer:
        for _ in range(20):
            producer.send("t", bytes(1000)).result()
    files = {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}
    copied = back_up(tmp_path / "data", tmp_path / "copy")
    assert files == {path: path.read_bytes() for path in files}
    assert (copied.partition_count, copied.notes) == (2, [])
    assert (tmp_path / "copy" / ".logserver_cleanshutdown").exists()
    with Broker(tmp_path / "copy") as restored:
        assert values(restored, "t") == [bytes(1000)] * 20
        assert "cut" not in restored.log()


def test_what_is_written_to_a_copy_stays_in_the_copy(tmp_path: Path) -> None:
    """And the other way round: linked segments are those that nobody writes."""
    with Broker(tmp_path / "data", {"log.segment.bytes": 1 << 20}) as broker:
        with Producer(broker.bootstrap, linger_ms=0) as producer:
            for _ in range(5):
                producer.send("t", bytes(500_000)).result()
            while not list((broker.data_dir / "t-0").glob("*.digest")):
                threading.Event().wait(0.01)  # a segment is sealed off the loop
            copied = back_up(broker.data_dir, tmp_path / "copy")
            assert copied.linked_bytes > 0
            producer.send("t", b"only here").result()
        with Broker(tmp_path / "copy") as restored:
            with Producer(restored.bootstrap, linger_ms=0) as producer:
                producer.send("t", b"only there").result()
            assert values(restored, "t")[-1] == b"only there"
        assert values(broker, "t")[-1] == b"only here"
        assert len(values(broker, "t")) == 6
    assert list(verify_directory(RealFiles(), str(tmp_path / "data"))) == []


def test_a_topic_that_is_made_meanwhile_has_what_was_committed_of_it(tmp_path: Path) -> None:
    """Or nothing was: an offset behind the end would send the consumer back to the beginning."""
    with Broker(tmp_path / "data") as broker, Producer(broker.bootstrap) as producer:
        consumer = GroupConsumer({"bootstrap.servers": broker.bootstrap, "group.id": "g"})

        def process(topic: str) -> None:
            producer.send(topic, b"x").result()
            consumer.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)

        process("old")
        meanwhile = Meanwhile(broker.data_dir, lambda: process("new"))
        back_up(broker.data_dir, tmp_path / "copy", meanwhile)
        consumer.close()
    with Broker(tmp_path / "copy") as restored:
        old, new = committed_offsets(restored, "old", "new")
        assert old == 1
        assert new <= len(values(restored, "new"))


def test_topics_are_deleted_meanwhile(tmp_path: Path) -> None:
    """Whenever the data directory has just been listed, one of them goes."""
    with Broker(tmp_path / "data") as broker, Admin(broker.bootstrap) as admin:
        topics = [f"t{number}" for number in range(5)]
        for topic in topics:
            admin.create_topic(topic)
        deletions = [partial(admin.delete_topic, topic) for topic in topics]
        back_up(broker.data_dir, tmp_path / "copy", Meanwhile(broker.data_dir, *deletions))


@pytest.mark.parametrize("links", [True, False])
def test_the_active_segment_is_rolled_and_compacted_meanwhile(tmp_path: Path, links: bool) -> None:
    """It has gaps then, and neither the offsets nor the bytes up to the durable mark."""
    settings = {"log.segment.bytes": 1 << 20, "log.cleaner.backoff.ms": 50}
    with (
        Broker(tmp_path / "data", settings) as broker,
        Admin(broker.bootstrap) as admin,
        Producer(broker.bootstrap, linger_ms=0) as producer,
    ):
        admin.create_topic("t", configs={"cleanup.policy": "compact"})
        log = broker.data_dir / "t-0" / f"{0:020d}.log"

        def write(*numbers: int) -> None:
            for number in numbers:
                value = b"%d." % number + bytes(200_000)
                producer.send("t", value, key=b"%d" % (number % 2)).result()

        def roll() -> None:
            write(3, 4, 5, 6)
            replaced = log.with_suffix(".log.deleted")
            while not replaced.exists() or [*log.parent.glob("*.swap")]:
                threading.Event().wait(0.01)  # compaction happens off the loop

        write(0, 1, 2)
        meanwhile = Meanwhile(log.parent, roll)
        copied = back_up(broker.data_dir, tmp_path / "copy", meanwhile, links=links)
        assert copied.notes == []
        assert (copied.linked_bytes > 0) == links
    with Broker(tmp_path / "copy") as restored:
        # Offsets 0 to 4 were in it; of those the last of each key.
        assert [_number(value) for value in values(restored, "t")][:2] == [3, 4]
        with Producer(restored.bootstrap) as producer:
            producer.send("t", b"7.", key=b"1").result()
        assert _number(values(restored, "t")[-1]) == 7
    assert list(verify_directory(RealFiles(), str(tmp_path / "data"))) == []
    assert list(verify_directory(RealFiles(), str(tmp_path / "copy"))) == []


def test_a_copy_of_a_killed_directory_is_mended_in_the_copy(tmp_path: Path) -> None:
    """The torn end is cut there; the source keeps it for its own start."""
    with Broker(tmp_path / "data") as broker:
        with Producer(broker.bootstrap) as producer:
            producer.send("t", b"a").result()
        broker.kill()
        log = tmp_path / "data" / "t-0" / f"{0:020d}.log"
        torn = log.read_bytes().rstrip(b"\0") + b"\0torn"  # a record ends with a zero
        log.write_bytes(torn)
        back_up(tmp_path / "data", tmp_path / "copy")
        assert log.read_bytes() == torn
        assert not list((tmp_path / "copy").rglob("*.cut"))
    with Broker(tmp_path / "copy") as restored:
        assert values(restored, "t") == [b"a"]


def test_a_copy_of_a_copy_is_a_restored_directory(tmp_path: Path) -> None:
    """With and without links; the cluster and its topics keep their ids."""
    with Broker(tmp_path / "data") as broker:
        with Producer(broker.bootstrap) as producer:
            producer.send("t", b"a").result()
        with Admin(broker.bootstrap) as admin:
            topic_id = admin.describe_topic("t").topic_id
    back_up(tmp_path / "data", tmp_path / "copy")
    (tmp_path / "restored").mkdir()
    copied = back_up(tmp_path / "copy", tmp_path / "restored", links=False)
    assert copied.linked_bytes == 0
    with Broker(tmp_path / "restored") as restored, Admin(restored.bootstrap) as admin:
        assert admin.describe_topic("t").topic_id == topic_id
        assert values(restored, "t") == [b"a"]


def test_what_is_no_data_directory_is_not_copied(tmp_path: Path) -> None:
    """Nor into a place that is in use, nor into itself."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(StorageError, match="is no data directory") as caught:
        back_up(tmp_path / "empty", tmp_path / "copy")
    assert caught.value.kind is Kind.IDENTITY
    with Broker(tmp_path / "data"):
        pass
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "precious").touch()
    with pytest.raises(StorageError, match="not an empty directory"):
        back_up(tmp_path / "data", tmp_path / "copy")
    with pytest.raises(StorageError, match="lies in"):
        back_up(tmp_path / "data", tmp_path / "data" / "copy")
    assert not (tmp_path / "data" / "copy").exists()


def test_a_failed_backup_leaves_nothing_behind(tmp_path: Path) -> None:
    """A source that a start would refuse is refused as a copy."""
    with Broker(tmp_path / "data") as broker, Producer(broker.bootstrap) as producer:
        producer.send("t", b"a").result()
    (metadata,) = (tmp_path / "data" / "__cluster_metadata-0").glob("*.log")
    metadata.write_bytes(bytes(metadata.stat().st_size))
    with pytest.raises(StorageError):
        copy_directory(
            RealFiles(),
            str(tmp_path / "data"),
            str(tmp_path / "copy"),
            now_ms=NOW_MS,
            random=Random(1),
            progress=lambda *_: None,
        )
    assert not (tmp_path / "copy").exists()


def test_an_unfinished_copy_is_not_served(tmp_path: Path) -> None:
    """A kill leaves it without its identity, which is copied last."""
    with Broker(tmp_path / "data") as broker:
        with Producer(broker.bootstrap) as producer:
            producer.send("t", b"a").result()
        back_up(tmp_path / "data", tmp_path / "copy")
    (tmp_path / "copy" / "meta.properties").unlink()
    with pytest.raises(BrokerDied, match=r"has no meta\.properties but holds"):
        Broker(tmp_path / "copy").start()


def test_a_partition_under_quarantine_is_named(tmp_path: Path) -> None:
    """Damage below what was durable comes along, and is told."""
    with Broker(tmp_path / "data") as broker:
        with Producer(broker.bootstrap) as producer:
            producer.send("t", b"a").result()
        broker.stop()
    (tmp_path / "data" / ".logserver_cleanshutdown").unlink()
    log = tmp_path / "data" / "t-0" / f"{0:020d}.log"
    log.write_bytes(bytes(log.stat().st_size))
    copied = copy_directory(
        RealFiles(),
        str(tmp_path / "data"),
        str(tmp_path / "copy"),
        now_ms=NOW_MS,
        random=Random(1),
        progress=lambda *_: None,
    )
    assert any("t-0: quarantined" in note for note in copied.notes)


def test_clients_see_no_error_while_a_backup_runs(load: Load, tmp_path: Path) -> None:
    """The server does not know of it."""
    load.wait_for(60)
    back_up(load.broker.data_dir, tmp_path / "copy")
    load.wait_for(60)
    load.stop()
    assert not [error for error in load.failures if isinstance(error, ClientError)]
