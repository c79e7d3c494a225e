"""FindCoordinator (API 10): served so that clients find their features, answered with "not yet".

librdkafka takes FindCoordinator 0 as the sign that it may compress with lz4, so the API has to be
offered before groups exist. Groups and share groups hear COORDINATOR_NOT_AVAILABLE, which clients
retry. A transactional id hears TRANSACTIONAL_ID_AUTHORIZATION_FAILED, which they take for fatal:
retrying would look like a hanging broker, and transactions are not "not yet available".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logwire import errors
from logwire.errors import ERRORS
from logwire.messages import Message

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.peer import Context

GROUP_KEY, TRANSACTION_KEY, SHARE_KEY = 0, 1, 2
BATCHED_SINCE = 4


def handle_find_coordinator(_broker: Broker, request: Message, context: Context) -> Message:
    """Say for each key why there is no coordinator."""
    key_type = request.get("key_type", GROUP_KEY)
    if key_type in (GROUP_KEY, SHARE_KEY):
        code = errors.COORDINATOR_NOT_AVAILABLE
    elif key_type == TRANSACTION_KEY:
        code = errors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    else:
        code = errors.INVALID_REQUEST
    answer = {
        "error_code": code,
        "error_message": ERRORS[code].message,
        "node_id": -1,
        "host": "",
        "port": -1,
    }
    if context.api_version < BATCHED_SINCE:
        return answer
    return {"coordinators": [{"key": key, **answer} for key in request["coordinator_keys"]]}
