"""GetTelemetrySubscriptions (API 71) and PushTelemetry (72), KIP-714.

Clients ask as soon as these are advertised. While no subscription concerns them they are told that
nothing is wanted, and to ask again in five minutes; a client that pushes all the same is thanked
and what it pushed is not looked at.

A push passes, in this order: a real instance id, not after the last push, not too early, the right
subscription id, a known codec, the size (as sent, and unpacked), OTLP. Codes as Apache Kafka 4.3.1
gives them (ClientMetricsManager), which has no bound for the unpacked size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logserver.broker.telemetry.otlp import decode_metrics
from logserver.broker.telemetry.series import Source
from logserver.storage.checkpoint import format_uuid, new_uuid
from logwire import errors
from logwire.compression import CODECS, OutputTooLarge, decompress
from logwire.errors import ProtocolError, Refusal
from logwire.messages import Message

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.peer import Context
    from logserver.broker.telemetry.instances import Instance

NO_INSTANCE = bytes(16)
# Uuid.RESERVED of Kafka: zero, and the id of the metadata topic.
RESERVED_INSTANCES = (NO_INSTANCE, bytes(15) + b"\x01")
NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
# Best first: clients take the first that they have.
ACCEPTED_CODECS = [ZSTD, LZ4, GZIP, SNAPPY]
assert set(ACCEPTED_CODECS) | {NONE} == set(CODECS)

# Repetitive text unpacks to ten times its size; what a client would push uncompressed it can push.
UNPACKED_FACTOR = 4

GROUP_ATTRIBUTE = "group_id"


def handle_get_telemetry_subscriptions(
    broker: Broker, request: Message, context: Context
) -> Message:
    """What this client shall push: an id of its own, prefixes of names, and how often."""
    instance_id = bytes(request["client_instance_id"])
    if instance_id == NO_INSTANCE:
        instance_id = new_uuid(broker.random, broker.telemetry.instances)
    instance = _seen(broker, instance_id, context)
    try:
        instance.ask(broker.uptime_ms)
    except Refusal as refusal:
        return {"error_code": refusal.code}
    return {
        "error_code": errors.NONE,
        "client_instance_id": instance_id,
        "subscription_id": instance.subscription_id,
        "accepted_compression_types": ACCEPTED_CODECS,
        "push_interval_ms": instance.wanted.interval_ms,
        "telemetry_max_bytes": broker.config.telemetry_max_bytes,
        "delta_temporality": True,
        "requested_metrics": list(instance.wanted.metrics),
    }


def handle_push_telemetry(broker: Broker, request: Message, context: Context) -> Message:
    """Take what the client pushes, or say why not."""
    instance_id = bytes(request["client_instance_id"])
    if instance_id in RESERVED_INSTANCES:
        return {"error_code": errors.INVALID_REQUEST}
    instance = _seen(broker, instance_id, context)
    terminating = request["terminating"]
    try:
        instance.push(request["subscription_id"], broker.uptime_ms, terminating=terminating)
        _take(broker, instance, request, context)
        instance.last_code = errors.NONE
    except Refusal as refusal:
        instance.last_code = refusal.code
    instance.terminating = terminating
    return {"error_code": instance.last_code}


def _take(broker: Broker, instance: Instance, request: Message, context: Context) -> None:
    codec, packed = request["compression_type"], request["metrics"]
    max_bytes = broker.config.telemetry_max_bytes
    if codec not in CODECS:
        raise Refusal(errors.UNSUPPORTED_COMPRESSION_TYPE)
    if len(packed) > max_bytes:
        raise Refusal(errors.TELEMETRY_TOO_LARGE)
    if not packed or not instance.wanted.metrics:
        return
    try:
        data = decompress(codec, packed, UNPACKED_FACTOR * max_bytes)
        resources = decode_metrics(data)
    except OutputTooLarge:
        raise Refusal(errors.TELEMETRY_TOO_LARGE) from None
    except ProtocolError:
        raise Refusal(errors.INVALID_RECORD) from None
    broker.telemetry.pushes_count += 1
    software, version = context.peer.software
    for resource in resources:
        group = resource.attributes.get(GROUP_ATTRIBUTE, "")
        source = Source(context.client_id or "", group, software, version)
        series_max = broker.config.client_metrics_series_max
        broker.telemetry.export(source, instance, resource.points, series_max, broker.uptime_ms)


def _seen(broker: Broker, instance_id: bytes, context: Context) -> Instance:
    peer = context.peer
    software, version = peer.software
    client = {
        "client_instance_id": format_uuid(instance_id),
        "client_id": context.client_id,
        "client_software_name": software or None,
        "client_software_version": version or None,
        "client_source_address": peer.peer_host,
        "client_source_port": str(peer.peer_port),
    }
    known = {name: text for name, text in client.items() if text is not None}
    return broker.telemetry.instances.seen(instance_id, known, broker.uptime_ms)
