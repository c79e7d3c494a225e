"""DescribeQuorum (API 55): who votes on the metadata log. One server is the whole quorum.

The high watermark of the metadata log is what is durable: nothing that was answered is above it.
Epochs of a quorum count from 1, those of a log from 0.

Source: KIP-595, KIP-836 (times), KIP-853 (nodes); kafka.server.KafkaRaftServer of 4.3.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logserver.broker.metadata import address
from logserver.broker.metadata_log import METADATA_TOPIC
from logwire import errors
from logwire.errors import ERRORS
from logwire.messages import Message

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.peer import Context


def handle_describe_quorum(broker: Broker, request: Message, context: Context) -> Message:
    """The one voter of the one partition; anything else is a partition that is not there."""
    known = False
    topics = []
    for topic in request["topics"]:
        partitions = []
        for partition in topic["partitions"]:
            index = partition["partition_index"]
            found = topic["topic_name"] == METADATA_TOPIC and index == 0
            known = known or found
            partitions.append(_quorum(broker, context) if found else _missing(index))
        topics.append({"topic_name": topic["topic_name"], "partitions": partitions})
    host, port = address(broker, context)
    listener = {"name": context.listener, "host": host, "port": port}
    node = {"node_id": broker.config.node_id, "listeners": [listener]}
    return {
        "error_code": errors.NONE,
        "error_message": "",
        "topics": topics,
        "nodes": [node] if known else [],
    }


def _quorum(broker: Broker, context: Context) -> Message:
    log = broker.metadata_log.log
    voter = {
        "replica_id": broker.config.node_id,
        "log_end_offset": log.end_offset,
        "last_fetch_timestamp": context.now_ms,
        "last_caught_up_timestamp": context.now_ms,
    }
    return {
        "partition_index": 0,
        "error_code": errors.NONE,
        "error_message": "",
        "leader_id": broker.config.node_id,
        "leader_epoch": log.leader_epoch + 1,
        "high_watermark": log.durable_offset,
        "current_voters": [voter],
        "observers": [],
    }


def _missing(index: int) -> Message:
    code = errors.UNKNOWN_TOPIC_OR_PARTITION
    return {
        "partition_index": index,
        "error_code": code,
        "error_message": ERRORS[code].message,
    }
