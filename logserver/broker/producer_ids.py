"""InitProducerId (API 22): ids for idempotent producers, never given twice.

Ids come from blocks that the metadata log reserves (`MetadataLog.take_producer_id`); what is left
of a block when the process ends is lost, which costs nothing (there are 2^63).

Every answer waits until the block's record is durable, not only the first one of a block: after a
power cut that lost the record, the same block would be given again, and two producers with one id
and epoch would take each other's batches for duplicates.

A transactional id is refused until transactions exist: clients take the code for fatal, while a
plain producer id would make them believe that they are in a transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logserver.broker.metadata_log import storage_refusal
from logwire import errors
from logwire.errors import Refusal
from logwire.messages import Message

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.peer import Context

NO_PRODUCER_ID = -1
NO_EPOCH = -1


def handle_init_producer_id(broker: Broker, request: Message, context: Context) -> Message:
    """A new producer id with epoch 0."""
    transactional_id = request["transactional_id"]
    if transactional_id is not None:
        if not transactional_id:
            raise Refusal(errors.INVALID_REQUEST)
        raise Refusal(errors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
    known = (request.get("producer_id", NO_PRODUCER_ID), request.get("producer_epoch", NO_EPOCH))
    if (known[0] == NO_PRODUCER_ID) != (known[1] == NO_EPOCH):
        raise Refusal(errors.INVALID_REQUEST)
    metadata_log = broker.metadata_log
    try:
        producer_id = metadata_log.take_producer_id(broker.config.node_id, context.now_ms)
    except OSError as error:
        raise storage_refusal("reserve producer ids", error) from None
    context.after_sync = metadata_log.unsynced
    return {"error_code": errors.NONE, "producer_id": producer_id, "producer_epoch": 0}
