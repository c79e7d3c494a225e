"""`python -m tools.telemetry`: stream this host's telemetry to any Kafka until told to stop."""

import argparse
import signal
import sys
import time
from math import inf

from logserver.client import Admin, ClientError, Producer
from tools.telemetry.devices import Fleet
from tools.telemetry.host import Host, NoProc
from tools.telemetry.stream import Stream

REPORT_INTERVAL_S = 5.0
TOPIC_EXISTS = 36


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.telemetry", description=__doc__)
    add = parser.add_argument
    add("--bootstrap", default="127.0.0.1:9092", metavar="HOST:PORT", help="the server")
    add("--topic", default="telemetry", help="topic; made with --partitions when missing")
    add("--partitions", type=int, default=4, help="of a topic that is made")
    add("--devices", type=int, default=500, help="simulated devices")
    add("--rate", type=float, default=2000, help="records a second, all devices together")
    add("--seconds", type=float, default=inf, help="how long (default: until stopped)")
    add("--compression", default="zstd", choices=["none", "gzip", "snappy", "lz4", "zstd"])
    return parser.parse_args()


def main() -> int:
    """Stream, one line every few seconds; exit code 0 when every record was delivered."""
    options = arguments()
    try:
        host = Host()
        with Admin(options.bootstrap) as admin:
            make_topic(admin, options.topic, options.partitions)
        with Producer(options.bootstrap, compression=options.compression) as producer:
            stream = Stream(producer, options.topic, Fleet(options.devices), host, options.rate)
            for number in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C, and a container's stop
                signal.signal(number, lambda *_: setattr(stream, "stopping", True))
            follow(stream, options.seconds)
            producer.flush()
    except (ClientError, NoProc) as error:
        print(f"telemetry: {error}", file=sys.stderr)
        return 1
    delivered = len(stream.latencies_ns)
    print(f"{delivered:,} of {stream.sent_count:,} records delivered to {options.topic}")
    return 0 if delivered == stream.sent_count else 1


def make_topic(admin: Admin, name: str, partitions: int) -> None:
    """Create the topic unless it is there."""
    try:
        admin.create_topic(name, partitions=partitions)
    except ClientError as error:
        if error.code != TOPIC_EXISTS:
            raise


def follow(stream: Stream, seconds: float) -> None:
    """Run the stream and say every few seconds how it goes."""
    told, count = time.monotonic(), 0
    for elapsed in stream.run(seconds):
        now = time.monotonic()
        if now - told >= REPORT_INTERVAL_S:
            rate = (stream.sent_count - count) / (now - told)
            told, count = now, stream.sent_count
            print(
                f"{elapsed:7.0f} s  {stream.sent_count:12,} records  {rate:9,.0f}/s  "
                f"P99 {stream.recent_ms(99):.1f} ms  {len(stream.failed)} failed",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
