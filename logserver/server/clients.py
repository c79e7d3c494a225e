"""Who is connected and what each of them does: a list made when somebody asks.

Nothing is counted or kept for it: a connection remembers what it last asked for
(`broker.peer.Activity`), and the rest is read off the live objects. So a list of ten thousand
connections is made in pieces, and each piece is true at its moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from logserver.broker.sessions import FetchSession
from logwire.messages import APIS

if TYPE_CHECKING:
    from logserver.broker.broker import Broker
    from logserver.server.connection import Connection
    from logserver.server.server import Server

# Of one connection's topics and partitions; the rest is a number.
NAMES_MAX = 100


def describe_clients(server: Server) -> Iterator[dict[str, Any]]:
    """A document for each connection that is open when its turn comes, oldest first."""
    for connection in list(server.connections.values()):
        if not connection.closed:
            yield describe(server, connection)


def describe(server: Server, connection: Connection) -> dict[str, Any]:
    """One connection. Times are milliseconds; names are empty where the client told none."""
    activity = connection.activity
    software, version = connection.software
    api = APIS.get(activity.api_key)
    return {
        "client_id": activity.client_id or "",
        "software": software,
        "software_version": version,
        "host": connection.peer_host,
        "port": connection.peer_port,
        "listener": connection.listener,
        "idle_ms": max(0, server.uptime_ms() - connection.active_ms),
        "waiting_count": connection.replies_waiting,
        "unsent_bytes": connection.out_bytes,
        "last_request": "" if api is None else api.name,
        "group_id": activity.group_id,
        "produces_to": _produced(server.broker, connection.last_produced),
        "fetches_from": _fetched(server.broker, activity.fetches),
    }


def _produced(broker: Broker, last: tuple[str | bytes, int] | None) -> str:
    """`topic-partition` of the last Produce request, empty for none or for several at once."""
    return "" if last is None else f"{_name(broker, last[0])}-{last[1]}"


def _fetched(broker: Broker, fetches: Any) -> dict[str, list[int]]:
    """Topic -> partitions of the last Fetch request or of its session, the first of them."""
    if fetches is None:
        return {}
    if isinstance(fetches, FetchSession):
        pairs = list(fetches.wanted)[:NAMES_MAX]
    else:
        pairs = [(topic, asked[0]) for topic, partitions in fetches for asked in partitions]
    found: dict[str, list[int]] = {}
    for topic, index in pairs[:NAMES_MAX]:
        found.setdefault(_name(broker, topic), []).append(index)
    return {topic: sorted(indexes) for topic, indexes in sorted(found.items())}


def _name(broker: Broker, topic: str | bytes) -> str:
    """The name of a topic that was asked for by name or by id; of a deleted one its id."""
    if isinstance(topic, str):
        return topic
    known = broker.image.topics.get(bytes(topic))
    return bytes(topic).hex() if known is None else known.name
