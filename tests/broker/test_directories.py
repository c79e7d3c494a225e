"""After a start: directories and the metadata log are made to agree, line by line of the table."""

from random import Random

import pytest

from logserver.broker.directories import METADATA_DIRECTORY
from logserver.storage import checkpoint
from logserver.storage.failure import Kind, StorageError
from logwire import errors
from tests.broker.control_bench import ControlBench


@pytest.fixture
def bench() -> ControlBench:
    """A stopped broker whose topic `a` has three records."""
    bench = ControlBench()
    bench.create("a", 1)
    bench.append("a", [1, 2, 3])
    bench.sync()
    bench.directory.close(clean=True)
    return bench


def directories(bench: ControlBench) -> list[str]:
    """The partition directories that are there after a start, leftovers removed."""
    bench.start()
    bench.directory.remove_leftovers()
    names = bench.files.list_directory("/data")
    return [name for name in names if bench.files.is_directory(f"/data/{name}")]


def make(bench: ControlBench, name: str, topic_id: bytes | None, *files: str) -> None:
    """A directory as some life of the server, or a person, left it."""
    bench.files.make_directory(f"/data/{name}")
    if topic_id is not None:
        checkpoint.write_topic_id(bench.files, f"/data/{name}", topic_id)
    for file in files:
        bench.files.open(f"/data/{name}/{file}", create=True).close()


def test_what_belongs_to_a_topic_is_kept(bench: ControlBench) -> None:
    """The normal start."""
    assert directories(bench) == [METADATA_DIRECTORY, "a-0"]
    assert bench.partition("a").log.end_offset == 3


def test_a_directory_that_no_topic_owns_is_removed(bench: ControlBench) -> None:
    """A creation whose record was lost."""
    make(bench, "lost-0", b"l" * 16, "00000000000000000000.log")
    make(bench, "a-1", b"l" * 16)
    make(bench, "empty-0", None)
    assert directories(bench) == [METADATA_DIRECTORY, "a-0"]


def test_a_directory_that_may_be_anybodys_is_left_alone(bench: ControlBench) -> None:
    """Without a topic id nobody says that it is ours."""
    make(bench, "backup-2026", None, "precious.tar")
    assert directories(bench) == [METADATA_DIRECTORY, "a-0", "backup-2026"]
    assert bench.files.list_directory("/data/backup-2026") == ["precious.tar"]


def test_a_removal_that_was_never_recorded_is_undone(bench: ControlBench) -> None:
    """The renaming was durable, the record was not."""
    bench.files.rename("/data/a-0", "/data/a-0.1f0001-delete")
    assert directories(bench) == [METADATA_DIRECTORY, "a-0"]
    assert bench.partition("a").log.end_offset == 3


def test_a_removal_is_undone_even_if_the_name_was_used_again(bench: ControlBench) -> None:
    """The new topic's record was lost with the removal's."""
    bench.files.rename("/data/a-0", "/data/a-0.1f0001-delete")
    make(bench, "a-0", b"n" * 16, "00000000000000000000.log")
    assert directories(bench) == [METADATA_DIRECTORY, "a-0"]
    assert bench.partition("a").log.end_offset == 3


def test_a_half_made_directory_does_not_hide_the_one_that_comes_back(bench: ControlBench) -> None:
    """Deleted and made again under its name, and both records lost in the middle of it."""
    for left in (("partition.metadata.tmp",), ("leader-epoch-checkpoint",), ()):
        bench.files.rename("/data/a-0", "/data/a-0.1f0001-delete")
        make(bench, "a-0", None, *left)
        assert directories(bench) == [METADATA_DIRECTORY, "a-0"]
        assert bench.partition("a").log.end_offset == 3
        bench.directory.close(clean=True)


def test_what_a_start_has_discarded_never_comes_back(bench: ControlBench) -> None:
    """A partition whose making was lost, made again later: it is empty."""
    make(bench, "a-1", bench.topic_id("a"), "00000000000000000000.log")
    bench.start()
    (left,) = bench.directory.leftovers
    bench.directory.close(clean=True)
    bench.start()
    request = {"topics": [{"name": "a", "count": 2, "assignments": None}], "validate_only": False}
    assert bench.call(37, 2, request)["results"][0]["error_code"] == 0
    bench.sync()
    bench.directory.close(clean=False)
    bench.files.rename("/data/a-1", "/data/gone")
    bench.start()
    assert left in bench.directory.leftovers
    assert bench.partition("a", 1).log.end_offset == 0


def test_a_power_cut_in_the_first_second_leaves_a_directory_that_starts() -> None:
    """The metadata log has its first record before anything else is made."""
    for seed in range(40):
        bench = ControlBench()
        bench.create("a")
        again = bench.power_cut(Random(seed))
        assert again.broker.metadata_log.log.end_offset >= 1


LONG = "x" * 249


@pytest.mark.parametrize("is_durable", [True, False])
def test_the_longest_name_can_be_deleted_and_restored(is_durable: bool) -> None:
    """With what marks it as deleted it would be longer than a file name may be: it is cut."""
    bench = ControlBench()
    assert bench.create(LONG)["error_code"] == 0
    bench.append(LONG, [1, 2, 3])
    bench.sync()
    record = bench.broker.metadata_log.log.end_offset
    assert bench.delete(LONG)[0]["error_code"] == 0
    assert not bench.broker.directory.fenced
    (left,) = [n for n in bench.files.list_directory("/data") if n.endswith("-delete")]
    assert len(left) == 255
    if is_durable:
        bench.restart(clean=False)
        assert LONG not in bench.broker.image.topics_by_name
        assert left in bench.directory.leftovers
    else:
        log = bench.broker.metadata_log.log.active
        position = log.locate(record)
        bench.files.open(log.file.path).truncate(position)
        bench.restart(clean=False)
        assert bench.partition(LONG).log.end_offset == 3


def test_what_was_deleted_for_good_does_not_come_back(bench: ControlBench) -> None:
    """A leftover of another topic of that name, and one of no topic."""
    make(bench, "a-0.1f0002-delete", b"o" * 16)
    make(bench, "b-0.1f0003-delete", b"o" * 16)
    assert directories(bench) == [METADATA_DIRECTORY, "a-0"]
    assert bench.partition("a").log.end_offset == 3


def test_a_topic_whose_directory_is_missing_gets_an_empty_one(bench: ControlBench) -> None:
    """A creation whose record was durable before its directory was."""
    name = "a-0"
    for file in bench.files.list_directory(f"/data/{name}"):
        bench.files.unlink(f"/data/{name}/{file}")
    bench.files.remove_directory(f"/data/{name}")
    assert directories(bench) == [METADATA_DIRECTORY, "a-0"]
    assert bench.partition("a").log.end_offset == 0


def test_partitions_without_a_metadata_log_are_refused_untouched(bench: ControlBench) -> None:
    """An image that lacks every topic must not clean up after itself."""
    for file in bench.files.list_directory(f"/data/{METADATA_DIRECTORY}"):
        bench.files.unlink(f"/data/{METADATA_DIRECTORY}/{file}")
    bench.files.remove_directory(f"/data/{METADATA_DIRECTORY}")
    with pytest.raises(StorageError, match="but an empty __cluster_metadata-0") as caught:
        bench.start()
    assert caught.value.kind is Kind.CORRUPT
    assert "00000000000000000000.log" in bench.files.list_directory("/data/a-0")


@pytest.mark.parametrize("clean", [True, False])
def test_a_metadata_log_with_any_wrong_bit_is_refused_untouched(
    bench: ControlBench, clean: bool
) -> None:
    """Topics would be missing or have other names, and cost their records."""
    path = f"/data/{METADATA_DIRECTORY}/00000000000000000000.log"
    file = bench.files.open(path)
    marker = "/data/.logserver_cleanshutdown"
    text = bench.files.read_file(marker)
    for position in range(0, file.size(), 7):
        if clean and not bench.files.exists(marker):
            bench.files.write_atomically(marker, text)
        if not clean and bench.files.exists(marker):
            bench.files.unlink(marker)
        right = file.pread(1, position)
        file.pwrite(bytes([right[0] ^ 1]), position)
        with pytest.raises(StorageError, match=r"metadata log|empty __cluster") as caught:
            bench.start()
        bench.directory.close()
        assert caught.value.kind is Kind.CORRUPT, position
        file.pwrite(right, position)
        assert "00000000000000000000.log" in bench.files.list_directory("/data/a-0")


def test_a_new_topic_does_not_take_records_that_are_nobodys(bench: ControlBench) -> None:
    """They may be a person's; the creation is refused and says where they are."""
    make(bench, "b-0", None, "00000000000000000000.log")
    row = bench.create("b")
    assert row["error_code"] == errors.KAFKA_STORAGE_ERROR
    assert "/data/b-0" in row["error_message"]
    assert "b" not in bench.broker.image.topics_by_name
    bench.files.rename("/data/b-0", "/data/elsewhere")
    bench.sync()
    assert bench.create("b")["error_code"] == 0
