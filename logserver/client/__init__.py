"""Our own producer and consumer, for programs, the command line and the measurements.

    from logserver.client import Producer, Consumer

    with Producer("127.0.0.1:9092") as producer:
        producer.send("telemetry", b"pressure=431", key=b"pump-17")

    for record in Consumer("127.0.0.1:9092", "telemetry", start="beginning", stop_at_end=True):
        print(record.offset, record.value)

Speaks the Kafka protocol to any server of it (Logserver, Apache Kafka). Synchronous and typed; a
producer has one background thread, a consumer none. Must never know how a server keeps its records:
it imports `logwire` and nothing else of the house.
"""

from logserver.client.admin import Admin
from logserver.client.buffer import Delivered, Deliveries, Delivery
from logserver.client.connection import Connection
from logserver.client.consumer import Consumer, ConsumerRecord, Start, Timestamp
from logserver.client.failure import ClientError, OffsetOutOfRange
from logserver.client.group_consumer import GroupConsumer
from logserver.client.producer import Producer

__all__ = [
    "Admin",
    "ClientError",
    "Connection",
    "Consumer",
    "ConsumerRecord",
    "Delivered",
    "Deliveries",
    "Delivery",
    "GroupConsumer",
    "OffsetOutOfRange",
    "Producer",
    "Start",
    "Timestamp",
]
