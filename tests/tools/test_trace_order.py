"""The reader of traces finds what it is for: traces with one planted mistake each."""

from __future__ import annotations

from tools.raw_kafka import produce_frame
from tools.refusal_cases import Step, batch
from tools.trace_order import judge, parse

PEER = "7<TCP:[127.0.0.1:9092->127.0.0.1:40000]>"
LOG = "9</data/t-0/00000000000000000000.log>"


def hexed(data: bytes) -> str:
    """Bytes as `strace -xx` writes them."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in data) + '"'


def received(correlation_id: int) -> str:
    """A Produce request arrives."""
    frame = produce_frame("t", Step(batch()), correlation_id)
    return f"10 recvfrom({PEER}, {hexed(frame)}, 65536, 0, NULL, NULL) = {len(frame)}"


def written() -> str:
    """Its batch is written."""
    return f'10 pwrite64({LOG}, "\\x00", 1, 0) = 1'


def answered(correlation_id: int) -> str:
    """Its answer is sent."""
    frame = b"\0\0\0\4" + correlation_id.to_bytes(4, "big")
    return f"10 sendto({PEER}, {hexed(frame)}, 8, 0, NULL, 0) = 8"


SYNC = f"11 fdatasync({LOG}) = 0"
SYNC_BEGINS = f"11 fdatasync({LOG} <unfinished ...>"
SYNC_ENDS = "11 <... fdatasync resumed>) = 0"


def test_an_answer_after_its_sync_is_fine() -> None:
    """Written, synced, answered."""
    verdict = judge([received(1), written(), SYNC, answered(1)])
    assert verdict.holds
    assert verdict.answers_checked == 1


def test_an_answer_before_its_sync_is_found() -> None:
    """Written, answered, synced."""
    verdict = judge([received(1), written(), answered(1), SYNC])
    assert len(verdict.answered_before_sync) == 1
    assert not verdict.holds


def test_an_answer_during_its_sync_is_found() -> None:
    """The sync began in time but ended too late."""
    verdict = judge([received(1), written(), SYNC_BEGINS, answered(1), SYNC_ENDS])
    assert len(verdict.answered_before_sync) == 1


def test_a_sync_that_began_before_the_write_does_not_count() -> None:
    """The second batch was written while the sync of the first was under way."""
    lines = [received(1), written(), SYNC_BEGINS, received(2), written(), SYNC_ENDS]
    verdict = judge([*lines, answered(1), answered(2)])
    assert len(verdict.answered_before_sync) == 1
    assert "answer 2" in verdict.answered_before_sync[0]


def test_a_sync_of_another_file_does_not_count() -> None:
    """The covering sync must be of the file that took the batch."""
    other = SYNC.replace("t-0", "t-1")
    assert not judge([received(1), written(), other, answered(1)]).holds


def test_a_failed_sync_does_not_count() -> None:
    """EIO is no promise kept."""
    failed = f"11 fdatasync({LOG}) = -1 EIO (Input/output error)"
    assert not judge([received(1), written(), failed, answered(1)]).holds


def test_segment_reads_are_weighed_against_sendfile() -> None:
    """One percent is the limit."""
    head = (1008).to_bytes(4, "big") + b"\0" * 8  # length, correlation id, four bytes of a body
    sent = (
        f"10 sendto({PEER}, {hexed(head)}, 12, MSG_MORE, NULL, 0) = 12\n"
        f"10 sendfile({PEER}, {LOG}, [0] => [1000], 1000) = 1000"
    )
    few = f'10 pread64({LOG}, "\\x00", 8, 0) = 8'
    many = f'10 pread64({LOG}, "\\x00", 61, 0) = 61'
    assert judge([*sent.splitlines(), few]).holds
    assert not judge([*sent.splitlines(), many]).holds


def test_frames_may_arrive_and_leave_in_pieces() -> None:
    """A request in two receives, an answer in two sends: the last piece counts."""
    frame = produce_frame("t", Step(batch()), 5)
    first = f"10 recvfrom({PEER}, {hexed(frame[:30])}, 65536, 0, NULL, NULL) = 30"
    second = f"10 recvfrom({PEER}, {hexed(frame[30:])}, 65536, 0, NULL, NULL) = {len(frame) - 30}"
    answer = b"\0\0\0\4" + (5).to_bytes(4, "big")
    send_first = f"10 sendto({PEER}, {hexed(answer[:5])}, 5, 0, NULL, 0) = 5"
    send_second = f"10 sendto({PEER}, {hexed(answer[5:])}, 3, 0, NULL, 0) = 3"
    verdict = judge([first, second, written(), send_first, SYNC, send_second])
    assert verdict.answers_checked == 1
    assert verdict.holds


def test_paths_written_as_hex_are_read() -> None:
    """`-xx` writes the paths of descriptors as hex too."""
    path = "".join(f"\\x{byte:02x}" for byte in b"/data/t-0/1.log")
    (call,) = parse([f"10 fdatasync(9<{path}>) = 0"])
    assert call.descriptors() == [(9, "/data/t-0/1.log")]
