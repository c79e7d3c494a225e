"""Record what real clients and Apache Kafka say to each other: `protocol/vectors/<client>.jsonl`.

    python tools/record_vectors.py --upstream 127.0.0.1:9092 --listen 127.0.0.1:9192 all
    python tools/record_vectors.py --upstream 127.0.0.1:9092 --listen 127.0.0.1:9192 kcat java
    python tools/record_vectors.py --listen 127.0.0.1:9192 --as "my client 1.0"      (until Ctrl-C)
    python tools/record_vectors.py --metadata-log DATA/__cluster_metadata-0
    python tools/record_vectors.py --group-logs DATA

A proxy stands between a client and a server and keeps each request frame with its answer, one per
line: client, API, version, and both frames in hex without their size. Clients go where Metadata
tells them, so the server must advertise the proxy's address (Kafka:
`advertised.listeners=PLAINTEXT://127.0.0.1:9192`). Without names the proxy only listens, for a
client that is started by hand; with names, `tools/vector_clients.py` drives those clients.

Of each API and version a few exchanges of different length are kept: the first ones, which ask for
everything, and the steady ones. Frames above 3,000 bytes are left out: they repeat themselves.

`--metadata-log` takes the records that Kafka's own controller wrote (`metadata_records.jsonl`), and
`--group-logs` those of its group coordinators, in all `__consumer_offsets-N` of a data directory
(`group_records.jsonl`).
"""

from __future__ import annotations

import argparse
import json
import socket
import struct
import sys
import threading
from collections import deque
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "protocol")]

from logwire import batch  # noqa: E402
from logwire.messages import APIS, group_records, records  # noqa: E402
from logwire.primitives import read_uvarint  # noqa: E402

VECTORS = ROOT / "protocol" / "vectors"
KEPT_PER_VERSION_MAX = 3
FRAME_BYTES_MAX = 3_000

SIZE = struct.Struct(">i")
REQUEST_START = struct.Struct(">hhi")  # api key, version, correlation id


class Exchange(NamedTuple):
    """A request frame and its answer, without sizes; an answer to acks=0 never comes."""

    api_key: int
    version: int
    request: bytes
    response: bytes


class Recorder:
    """Collects the exchanges of one client; called from the threads of the proxy."""

    def __init__(self, keys: Collection[int]) -> None:
        self.keys = keys
        self.lock = threading.Lock()
        self.kept: dict[tuple[int, int], list[Exchange]] = {}

    def record(self, exchange: Exchange) -> None:
        """Keeps the exchange if its API is wanted and it differs in length from those kept."""
        if exchange.api_key not in self.keys:
            return
        if len(exchange.request) > FRAME_BYTES_MAX or len(exchange.response) > FRAME_BYTES_MAX:
            return
        lengths = (len(exchange.request), len(exchange.response))
        with self.lock:
            kept = self.kept.setdefault((exchange.api_key, exchange.version), [])
            known = [(len(each.request), len(each.response)) for each in kept]
            if len(kept) < KEPT_PER_VERSION_MAX and lengths not in known:
                kept.append(exchange)

    def write(self, path: Path, client: str) -> int:
        """Writes the exchanges in order of API and version; returns how many."""
        exchanges = [each for _, kept in sorted(self.kept.items()) for each in kept]
        lines = [json.dumps(row_of(client, exchange)) + "\n" for exchange in exchanges]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines))
        return len(exchanges)


def row_of(client: str, exchange: Exchange) -> dict[str, object]:
    return {
        "client": client,
        "api": APIS[exchange.api_key].name,
        "key": exchange.api_key,
        "version": exchange.version,
        "request": exchange.request.hex(),
        "response": exchange.response.hex(),
    }


class Proxy:
    """Accepts connections and carries frames both ways until it is closed."""

    def __init__(
        self, listen: tuple[str, int], upstream: tuple[str, int], keys: Collection[int] = APIS
    ) -> None:
        self.upstream = upstream
        self.recorder = Recorder(keys)
        self.listener = socket.create_server(listen, reuse_port=False)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return  # closed
            server = socket.create_connection(self.upstream)
            waiting: deque[bytes] = deque()
            for source, target, take in (
                (client, server, self.note_request),
                (server, client, self.note_response),
            ):
                arguments = (source, target, take, waiting)
                threading.Thread(target=carry, args=arguments, daemon=True).start()

    def note_request(self, frame: bytes, waiting: deque[bytes]) -> None:
        waiting.append(frame)

    def note_response(self, frame: bytes, waiting: deque[bytes]) -> None:
        """Pairs an answer with its request; requests that were never answered are passed over."""
        (correlation_id,) = SIZE.unpack_from(frame)
        while waiting:
            request = waiting.popleft()
            api_key, version, expected = REQUEST_START.unpack_from(request)
            if expected == correlation_id:
                self.recorder.record(Exchange(api_key, version, request, frame))
                return

    def close(self) -> None:
        """Frees the port: the shutdown wakes the thread that still sits in accept."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def carry(source: socket.socket, target: socket.socket, take: object, waiting: object) -> None:
    """Moves whole frames from one side to the other and shows each to `take`."""
    stream = source.makefile("rb")
    try:
        while head := stream.read(4):
            frame = stream.read(SIZE.unpack(head)[0])
            take(frame, waiting)  # type: ignore[operator]
            target.sendall(head + frame)
    except (OSError, struct.error):
        pass  # one side hung up
    finally:
        for end in (source, target):
            end.close()


def log_records(directory: Path) -> Iterator[batch.Record]:
    """Every record of a log that stands in a folder, less the control records."""
    for segment in sorted(directory.glob("*.log")):
        data = memoryview(segment.read_bytes())
        for position, header in batch.iterate_batches(data):
            end = position + batch.LENGTH_OVERHEAD_BYTES + header.batch_length
            if not header.attributes & batch.CONTROL:
                yield from batch.decode_batch(data[position:end])


def record_metadata(directory: Path, path: Path) -> int:
    """Writes a few records of each kind and version found in a metadata log; returns how many."""
    kept: dict[tuple[str, int], dict[int, str]] = {}
    for record in log_records(directory):
        value = bytes(record.value or b"")
        key, next_position = read_uvarint(memoryview(value), 1)
        version, _ = read_uvarint(memoryview(value), next_position)
        if key in records.KINDS_BY_KEY:
            name = records.KINDS_BY_KEY[key].name
            values = kept.setdefault((name, version), {})
            if len(values) < KEPT_PER_VERSION_MAX:
                values.setdefault(len(value), value.hex())
    rows = [
        {"record": name, "version": version, "value": value}
        for (name, version), values in sorted(kept.items())
        for value in values.values()
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return len(rows)


def record_groups(data_directory: Path, path: Path) -> int:
    """Writes a few records of each kind that group coordinators wrote; returns how many."""
    kept: dict[str, dict[int, tuple[str, str | None]]] = {}
    for directory in sorted(data_directory.glob("__consumer_offsets-*")):
        for record in log_records(directory):
            name, _ = group_records.decode_key(record.key or b"")
            if name is None:
                continue
            rows = kept.setdefault(name if record.value is not None else f"{name} deleted", {})
            if len(rows) < KEPT_PER_VERSION_MAX:
                value = None if record.value is None else record.value.hex()
                rows.setdefault(len(record.value or b""), ((record.key or b"").hex(), value))
    lines = [
        {"record": name.removesuffix(" deleted"), "key": key, "value": value}
        for name, rows in sorted(kept.items())
        for key, value in rows.values()
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return len(lines)


def address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Record golden vectors from real clients.")
    parser.add_argument("--upstream", type=address, default="127.0.0.1:9092")
    parser.add_argument("--listen", type=address, default="127.0.0.1:9192")
    parser.add_argument("--as", dest="client", help="listen only; the name to write")
    parser.add_argument("--kafka", help="folder of Kafka's run-class.sh, or of jars: Java clients")
    parser.add_argument("--metadata-log", type=Path, help="a __cluster_metadata-0 folder of Kafka")
    parser.add_argument("--group-logs", type=Path, help="a data directory of Kafka")
    parser.add_argument("--out", type=Path, default=VECTORS)
    parser.add_argument(
        "names", nargs="*", help="all, or some of: see tools/vector_clients.py, vector_groups.py"
    )
    return parser.parse_args()


def main() -> int:
    options = arguments()
    if options.metadata_log:
        count = record_metadata(options.metadata_log, options.out / "metadata_records.jsonl")
        print(f"{count} metadata records")
    elif options.group_logs:
        count = record_groups(options.group_logs, options.out / "group_records.jsonl")
        print(f"{count} group records")
    elif options.client:
        listen_until_interrupted(options)
    else:
        drive_clients(options)
    return 0


def listen_until_interrupted(options: argparse.Namespace) -> None:
    proxy = Proxy(options.listen, options.upstream)
    print(f"listening on {options.listen[0]}:{options.listen[1]}; Ctrl-C writes the vectors")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        stem = options.client.split()[0]
        count = proxy.recorder.write(options.out / f"{stem}.jsonl", options.client)
        print(f"{count} exchanges")


def drive_clients(options: argparse.Namespace) -> None:
    from tools import vector_clients, vector_groups

    sessions = vector_clients.CLIENTS | vector_groups.CLIENTS
    names = list(sessions) if options.names == ["all"] else options.names
    bootstrap = f"{options.listen[0]}:{options.listen[1]}"
    for name in names:
        is_group = name in vector_groups.CLIENTS
        keys = vector_groups.KEYS if is_group else set(APIS) - vector_groups.KEYS | {10}
        proxy = Proxy(options.listen, options.upstream, keys)
        try:
            client = sessions[name](bootstrap, options.kafka)
        finally:
            proxy.close()
        count = proxy.recorder.write(options.out / f"{name}.jsonl", client)
        print(f"{name}: {count} exchanges of {client}")


if __name__ == "__main__":
    sys.exit(main())
