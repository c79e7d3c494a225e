"""The vector recorder: a client and a server with the proxy between them, and what it kept."""

import json
import socket
import struct
import threading
from pathlib import Path

from logwire import batch, frame, messages
from logwire.messages import group_records
from tools.record_vectors import Exchange, Proxy, Recorder, record_groups, record_metadata

LOOPBACK = ("127.0.0.1", 0)


def answer_each_request(listener: socket.socket) -> None:
    """Answers every frame of one connection with its correlation id and the word "answer"."""
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as stream:
        while head := stream.read(4):
            request = stream.read(*struct.unpack(">i", head))
            body = request[4:8] + b"answer"
            connection.sendall(struct.pack(">i", len(body)) + body)


def test_the_proxy_carries_frames_and_keeps_requests_with_their_answers(tmp_path: Path) -> None:
    """Two requests of an API that is spoken here, and one that is not."""
    server = socket.create_server(LOOPBACK)
    threading.Thread(target=answer_each_request, args=(server,), daemon=True).start()
    proxy = Proxy(LOOPBACK, server.getsockname())
    with socket.create_connection(proxy.listener.getsockname()) as client:
        for correlation_id, (api_key, body) in enumerate(((3, b"one"), (99, b"no"), (3, b"three"))):
            request = frame.request_header(api_key, 1, correlation_id, "c") + body
            client.sendall(frame.SIZE.pack(len(request)) + request)
            expected = struct.pack(">ii", 10, correlation_id) + b"answer"
            assert client.recv(14, socket.MSG_WAITALL) == expected
    proxy.close()
    server.close()
    path = tmp_path / "client.jsonl"
    assert proxy.recorder.write(path, "client 1.0") == 2
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [bytes.fromhex(row["request"])[-3:] for row in rows] == [b"one", b"ree"]
    assert bytes.fromhex(rows[1]["response"]) == b"\0\0\0\2answer"
    assert {row["client"] for row in rows} == {"client 1.0"}


def test_the_recorder_keeps_a_few_exchanges_of_different_length() -> None:
    """Repetitions and long frames teach nothing."""
    recorder = Recorder({3})
    for size in (10, 10, 20, 30, 40, 5_000):
        recorder.record(Exchange(3, 12, bytes(size), b"answer"))
    recorder.record(Exchange(99, 5, b"no such API", b""))
    assert [len(each.request) for each in recorder.kept[(3, 12)]] == [10, 20, 30]
    assert list(recorder.kept) == [(3, 12)]


def test_metadata_records_are_taken_out_of_a_log(tmp_path: Path) -> None:
    """Control batches and unknown kinds are passed over."""
    topic = messages.encode_record("TopicRecord", 0, {"name": "t"})
    removal = messages.encode_record("RemoveTopicRecord", 0, {})
    unknown = b"\1\x1b\0\0"
    values = [(None, value, (), 0) for value in (topic, unknown, topic, removal)]
    control = batch.encode_batch([(b"\0\0\0\0", b"", (), 0)], control=True)
    log = bytes(batch.encode_batch(values)) + bytes(control)
    (tmp_path / "00000000000000000000.log").write_bytes(log)
    out = tmp_path / "records.jsonl"
    assert record_metadata(tmp_path, out) == 2
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["record"], row["value"]) for row in rows] == [
        ("RemoveTopicRecord", removal.hex()),
        ("TopicRecord", topic.hex()),
    ]


def test_group_records_are_taken_out_of_all_partitions_of_the_offsets_topic(
    tmp_path: Path,
) -> None:
    """Deletions count as a kind of their own; what share groups write is passed over."""
    key = group_records.encode_key("GroupMetadata", {"group": "g"})
    value = group_records.encode_value("GroupMetadata", 4, {})
    share = b"\0\x0b\0\1g"
    logs: list[list[tuple[bytes, bytes | None]]] = [
        [(key, value), (share, b"")],
        [(key, None), (key, value)],
    ]
    for partition, rows in enumerate(logs):
        folder = tmp_path / f"__consumer_offsets-{partition}"
        folder.mkdir()
        log = batch.encode_batch([(*row, (), 0) for row in rows])
        (folder / "00000000000000000000.log").write_bytes(log)
    out = tmp_path / "records.jsonl"
    assert record_groups(tmp_path, out) == 2
    assert [json.loads(line) for line in out.read_text().splitlines()] == [
        {"record": "GroupMetadata", "key": key.hex(), "value": value.hex()},
        {"record": "GroupMetadata", "key": key.hex(), "value": None},
    ]
