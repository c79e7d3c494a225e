"""DescribeTransactions (API 65) and ListTransactions (66) on a server without transactions.

Nothing is ever under way, so lists are empty and no transactional id is known. Producers that ask
for one are refused when they look for its coordinator (`find_coordinator`). A pattern must be RE2,
as in Kafka, though there is nothing to match.

Source: KIP-664, KIP-1152; kafka.coordinator.transaction.TransactionCoordinator of 4.3.1, which
answers NOT_COORDINATOR until somebody has made its internal topic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logserver.broker.groups.regex_syntax import PatternError, compile_program
from logwire import errors
from logwire.messages import Message

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.broker.peer import Context

STATES = frozenset(
    (
        "Empty",
        "Ongoing",
        "PrepareCommit",
        "PrepareAbort",
        "CompleteCommit",
        "CompleteAbort",
        "Dead",
        "PrepareEpochFence",
    )
)


def handle_describe_transactions(_broker: Broker, request: Message, _: Context) -> Message:
    """No id is known; an empty one is none."""
    states = []
    for transactional_id in request["transactional_ids"]:
        known = errors.TRANSACTIONAL_ID_NOT_FOUND if transactional_id else errors.INVALID_REQUEST
        states.append({"error_code": known, "transactional_id": transactional_id})
    return {"transaction_states": states}


def handle_list_transactions(_broker: Broker, request: Message, _: Context) -> Message:
    """There are none; a state or a pattern that is wrong is said to be."""
    code = errors.NONE
    try:
        compile_program(request.get("transactional_id_pattern") or "")
    except PatternError:
        code = errors.INVALID_REGULAR_EXPRESSION
    unknown = [] if code else [name for name in request["state_filters"] if name not in STATES]
    return {"error_code": code, "unknown_state_filters": unknown, "transaction_states": []}
