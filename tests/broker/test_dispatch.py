"""Dispatch: which request reaches whom, and what is refused before anybody is asked."""

from __future__ import annotations

import pytest

from logserver.broker.authorization import AUTHORIZATION
from logserver.broker.dispatch import handle
from logserver.broker.handlers import HANDLERS
from logwire import errors
from logwire.errors import ProtocolError
from logwire.frame import request_header
from logwire.messages import encode_request
from tests.broker.data_bench import DataBench, batch


@pytest.fixture
def bench() -> DataBench:
    """An empty broker."""
    return DataBench()


def frame(api_key: int, version: int, body: bytes = b"") -> memoryview:
    """A request frame without its size."""
    return memoryview(bytearray(request_header(api_key, version, 1, "bench") + body))


def test_every_api_has_a_row_of_authorization() -> None:
    """What has no row is not served."""
    assert set(HANDLERS) | {0, 1} == set(AUTHORIZATION)


def test_a_frame_without_a_whole_header_is_a_breach(bench: DataBench) -> None:
    """Nine bytes cannot hold api key, version, correlation id and client id."""
    with pytest.raises(ProtocolError):
        handle(bench.broker, bench.peer, memoryview(bytearray(9)), bench.now_ms)


@pytest.mark.parametrize(("api_key", "version"), [(999, 0), (-1, 0), (4, 0), (3, 99), (0, 2)])
def test_what_is_not_served_is_a_breach(bench: DataBench, api_key: int, version: int) -> None:
    """The connection closes, as Kafka's does."""
    data = bytearray(b"".join(n.to_bytes(2, "big", signed=True) for n in (api_key, version)))
    data += b"\0\0\0\1\xff\xff"
    with pytest.raises(ProtocolError):
        handle(bench.broker, bench.peer, memoryview(data), bench.now_ms)


def test_api_versions_of_an_unknown_version_is_answered_in_version_0(bench: DataBench) -> None:
    """KIP-511: with UNSUPPORTED_VERSION and the ranges; the connection stays."""
    data = bytearray(b"\x00\x12\x00\x63\x00\x00\x00\x07\xff\xff\x00")
    answer = handle(bench.broker, bench.peer, memoryview(data), bench.now_ms)
    assert isinstance(answer, bytes)
    assert answer[4:8] == b"\0\0\0\7"
    assert int.from_bytes(answer[8:10], "big") == errors.UNSUPPORTED_VERSION


def test_a_change_of_the_cluster_is_answered_after_its_sync(bench: DataBench) -> None:
    """The same wait as acks=all."""
    topic = {"name": "t", "num_partitions": 1, "replication_factor": 1, "assignments": []}
    reply = bench.ask(19, 7, {"topics": [{**topic, "configs": []}], "timeout_ms": 1000})
    assert reply.answer is None
    bench.sync()
    assert bench.read(19, 7, reply)["topics"][0]["error_code"] == 0


def test_a_change_that_could_not_be_synced_is_not_answered(bench: DataBench) -> None:
    """It may or may not be there: the connection closes."""
    topic = {"name": "t", "num_partitions": 1, "replication_factor": 1, "assignments": []}
    reply = bench.ask(19, 7, {"topics": [{**topic, "configs": []}], "timeout_ms": 1000})
    task = bench.broker.commit.begin()
    assert task is not None
    bench.broker.finish_commit(task, OSError(5, "Input/output error"), bench.now_ms)
    assert reply.abandoned


def test_header_tags_are_skipped_on_the_fast_path_too(bench: DataBench) -> None:
    """No client sends them today; one that does is served."""
    bench.relaxed("r")
    reply = bench.send("r", batch())
    assert bench.sent(reply) == (0, 0)
    body = request_header(0, 11, 9, "bench")
    assert body[-1] == 0
    tagged = body[:-1] + b"\x01\x05\x02ab"
    message = {
        "transactional_id": None,
        "acks": 1,
        "timeout_ms": 1,
        "topic_data": [{"name": "r", "partition_data": [{"index": 0, "records": batch()}]}],
    }
    data = memoryview(bytearray(tagged + encode_request(0, 11, message)))
    answer = handle(bench.broker, bench.peer, data, bench.now_ms)
    assert isinstance(answer, bytes)
    assert bench.partition("r").log.end_offset == 2


def test_requests_are_counted_by_api(bench: DataBench) -> None:
    """For the statistics page."""
    bench.relaxed("r")
    bench.send("r", batch())
    bench.poll(("r", 0, 0))
    assert bench.broker.counters.requests[:2] == [1, 1]
