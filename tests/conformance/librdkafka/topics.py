"""Stands in for Kafka's `kafka-topics.sh`, of which librdkafka's tests use three forms.

    --bootstrap-server HOST:PORT --create --topic T --partitions N --replication-factor N
                                 [--config KEY=VALUE]...
    --bootstrap-server HOST:PORT --alter --topic T --partitions N
    --bootstrap-server HOST:PORT --delete --topic T

Starting a JVM for each of them takes longer than the tests wait.
"""

from __future__ import annotations

import argparse

from logserver.client import Admin


def main() -> None:
    """Do what the command line asks for; an error ends the process with a traceback."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap-server", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--partitions", type=int, default=1)
    parser.add_argument("--replication-factor", type=int)
    parser.add_argument("--config", action="append", default=[])
    action = parser.add_mutually_exclusive_group(required=True)
    for name in ("create", "alter", "delete"):
        action.add_argument(f"--{name}", dest="action", action="store_const", const=name)
    words = parser.parse_args()
    with Admin(words.bootstrap_server) as admin:
        if words.action == "create":
            configs = dict(pair.split("=", 1) for pair in words.config)
            admin.create_topic(words.topic, partitions=words.partitions, configs=configs)
        elif words.action == "alter":
            admin.add_partitions(words.topic, words.partitions)
        else:
            admin.delete_topic(words.topic)


if __name__ == "__main__":
    main()
