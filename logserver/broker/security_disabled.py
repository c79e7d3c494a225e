"""ACLs (APIs 29-31) and delegation tokens (38-41) on a server without access control.

Tools ask for ACLs before they do anything else (user interfaces, MirrorMaker 2) and go on without
them when they hear SECURITY_DISABLED; an API that is not there at all would stop some of them. No
token is given over a connection that nobody authenticated.

Codes and sentences as Apache Kafka 4.3.1 gives them without an authorizer, on a PLAINTEXT listener
(AclApis, KafkaApis).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logwire import errors
from logwire.messages import Message

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.peer import Context

ANONYMOUS = {"principal_type": "User", "principal_name": "ANONYMOUS"}
NEVER_MS = -1
OWNER_SINCE = 3


def handle_describe_acls(_broker: Broker, _request: Message, _context: Context) -> Message:
    """There are none, and there is nobody to ask."""
    return {
        "error_code": errors.SECURITY_DISABLED,
        "error_message": "No Authorizer is configured on the broker",
    }


def handle_create_acls(_broker: Broker, request: Message, _context: Context) -> Message:
    """Refuse each of them."""
    return {"results": [_no_authorizer() for _ in request["creations"]]}


def handle_delete_acls(_broker: Broker, request: Message, _context: Context) -> Message:
    """Refuse each filter."""
    return {"filter_results": [_no_authorizer() for _ in request["filters"]]}


def _no_authorizer() -> Message:
    return {
        "error_code": errors.SECURITY_DISABLED,
        "error_message": "No Authorizer is configured.",
    }


def handle_create_delegation_token(_broker: Broker, request: Message, context: Context) -> Message:
    """Refuse: the asker is anybody, whoever the token was meant for."""
    owner = ANONYMOUS
    if context.api_version >= OWNER_SINCE and request["owner_principal_name"]:
        owner = {
            "principal_type": request["owner_principal_type"] or "",
            "principal_name": request["owner_principal_name"],
        }
    return {
        "error_code": errors.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED,
        **owner,
        **{f"token_requester_{name}": value for name, value in ANONYMOUS.items()},
        "issue_timestamp_ms": NEVER_MS,
        "expiry_timestamp_ms": NEVER_MS,
        "max_timestamp_ms": NEVER_MS,
    }


def handle_renew_delegation_token(_broker: Broker, _request: Message, _: Context) -> Message:
    """Refuse, as for a new one."""
    return {
        "error_code": errors.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED,
        "expiry_timestamp_ms": NEVER_MS,
    }


def handle_expire_delegation_token(broker: Broker, request: Message, context: Context) -> Message:
    """Refuse, in the same shape."""
    return handle_renew_delegation_token(broker, request, context)


def handle_describe_delegation_token(_broker: Broker, _request: Message, _: Context) -> Message:
    """Refuse to say even that there are none, as Kafka does."""
    return {"error_code": errors.DELEGATION_TOKEN_REQUEST_NOT_ALLOWED}
