"""Kafka's text files of a partition, and the arithmetic of leader epochs."""

from __future__ import annotations

import pytest

from logserver.storage.checkpoint import (
    CheckpointError,
    EpochStart,
    LeaderEpochs,
    decode_epochs,
    decode_metadata,
    encode_epochs,
    encode_metadata,
    format_uuid,
    parse_uuid,
    read_epochs,
    read_topic_id,
    write_epochs,
    write_topic_id,
)
from logserver.storage.simulated_files import MemoryFiles


def epochs(*pairs: tuple[int, int]) -> LeaderEpochs:
    """Epochs from (epoch, start offset) pairs."""
    return LeaderEpochs([EpochStart(*pair) for pair in pairs])


def test_the_epoch_file_is_kafkas_text() -> None:
    """Version, count, one line an epoch, a newline behind each."""
    data = encode_epochs(epochs((0, 0), (3, 812)))
    assert data == b"0\n2\n0 0\n3 812\n"
    assert decode_epochs(data).starts == [(0, 0), (3, 812)]


@pytest.mark.parametrize(
    "data",
    [
        b"1\n0\n",
        b"0\n2\n0 0\n",
        b"0\n1\n0\n",
        b"0\n1\n0 x\n",
        b"0\n2\n3 0\n1 5\n",
        b"0\n2\n0 5\n1 5\n",
        b"0\n1\n0 0",
        b"\xff\n",
    ],
)
def test_a_malformed_epoch_file_is_refused(data: bytes) -> None:
    """Refused means rebuilt from the batches, never believed by half."""
    with pytest.raises(CheckpointError):
        decode_epochs(data)


def test_an_empty_epoch_file_means_no_epoch_yet() -> None:
    """As in Kafka's CheckpointFile."""
    assert decode_epochs(b"").starts == []
    assert decode_epochs(b"").latest == -1


def test_the_end_of_an_epoch_is_the_start_of_the_next() -> None:
    """Kafka's LeaderEpochFileCache.endOffsetFor, case by case."""
    known = epochs((2, 10), (4, 20), (7, 30))
    assert known.end_offset_for(7, 50) == (7, 50)
    assert known.end_offset_for(4, 50) == (4, 30)
    assert known.end_offset_for(5, 50) == (4, 30)
    assert known.end_offset_for(1, 50) == (1, 10)
    assert known.end_offset_for(8, 50) == (-1, -1)
    assert known.end_offset_for(-1, 50) == (-1, -1)
    assert LeaderEpochs().end_offset_for(0, 50) == (-1, -1)


def test_a_new_epoch_replaces_one_that_got_no_records() -> None:
    """Two starts at the same offset: the earlier epoch is empty and forgotten."""
    known = epochs((0, 0), (1, 10))
    known.assign(2, 10)
    assert known.starts == [(0, 0), (2, 10)]
    known.assign(2, 99)
    assert known.starts == [(0, 0), (2, 10)]


def test_cutting_the_log_cuts_the_epochs() -> None:
    """At the end whole epochs go, at the start the present one moves up."""
    known = epochs((0, 0), (1, 10), (2, 20))
    known.cut_end(20)
    assert known.starts == [(0, 0), (1, 10)]
    known.cut_start(15)
    assert known.starts == [(1, 15)]
    known.cut_start(15)
    assert known.starts == [(1, 15)]
    known = epochs((0, 0), (1, 10))
    known.cut_start(10)
    assert known.starts == [(1, 10)]


def test_the_epoch_of_an_offset_is_the_last_that_began_at_or_before_it() -> None:
    """-1 before the first."""
    known = epochs((2, 10), (4, 20))
    assert [known.epoch_at(offset) for offset in (9, 10, 19, 20, 99)] == [-1, 2, 2, 4, 4]


def test_the_metadata_file_is_kafkas_text() -> None:
    """The uuid is URL-safe base64 without padding."""
    topic_id = bytes(range(16))
    assert encode_metadata(topic_id) == b"version: 0\ntopic_id: AAECAwQFBgcICQoLDA0ODw"
    assert decode_metadata(encode_metadata(topic_id)) == topic_id
    assert decode_metadata(b"version: 0\ntopic_id: AAECAwQFBgcICQoLDA0ODw\n") == topic_id


@pytest.mark.parametrize("data", [b"", b"version: 1\ntopic_id: AAECAwQFBgcICQoLDA0ODw",
                                  b"version: 0\ntopic_id: AAECAwQFBgcICQoLDA0OD",
                                  b"version: 0\n"])  # fmt: skip
def test_a_malformed_metadata_file_is_refused(data: bytes) -> None:
    """A topic id cannot be guessed."""
    with pytest.raises(CheckpointError):
        decode_metadata(data)


def test_a_uuid_survives_its_text() -> None:
    """And a text that is none, or not in its one form, is refused."""
    for uuid in (bytes(16), bytes([255] * 16), bytes(range(16))):
        assert parse_uuid(format_uuid(uuid)) == uuid
    for text in (
        "",
        "AAAA",
        "A" * 23,
        "AAECAwQFBgcICQoLDA0OD!",
        "AAECAwQFBgcICQoLDA0ODx",
        "ä" * 22,
    ):
        with pytest.raises(CheckpointError):
            parse_uuid(text)


def test_the_files_are_read_back_and_absence_is_no_error() -> None:
    """Absent: a new partition. A spoilt epoch file is as good as absent: it is rebuilt."""
    files = MemoryFiles()
    files.make_directory("d")
    assert read_epochs(files, "d") is None
    assert read_topic_id(files, "d") is None
    write_epochs(files, "d", epochs((0, 0)))
    write_topic_id(files, "d", bytes(16))
    found = read_epochs(files, "d")
    assert found is not None
    assert found.starts == [(0, 0)]
    assert read_topic_id(files, "d") == bytes(16)
    files.write_atomically("d/leader-epoch-checkpoint", b"0\n7\n")
    assert read_epochs(files, "d") is None
