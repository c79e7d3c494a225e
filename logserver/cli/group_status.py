"""What only the server knows of its groups: status, speed, rebalances. Asked over its HTTP port.

The Kafka protocol has no words for these, so `group describe` and `group lag` ask the HTTP port
beside it, and do without where they do not reach it: a firewall, `serve --http ''`, or the server
is Apache Kafka. What answers there must be the same server: a document tells its cluster id.

Fields that come from there are always present in JSON, and null where nobody answered.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from logserver.cli.client import HTTP_PORT, ask, beside
from logserver.cli.exits import CommandError

if TYPE_CHECKING:
    from logserver.client import Admin

TIMEOUT_S = 2.0
"""Nobody waits long for what is only an addition."""
QUERY_CHARACTERS_MAX = 1500
"""The server takes 2,048 characters of target; more names than that, and all are asked for."""

Document = dict[str, Any]

GROUP_FIELDS = ("status", "drain_ms")
PARTITION_FIELDS = ("status", "drain_ms", "committed_per_s", "appended_per_s")


class Told(NamedTuple):
    """What the server told: documents by group, and by group, topic and partition."""

    groups: Mapping[str, Document]
    partitions: Mapping[tuple[str, str, int], Document]

    def of_group(self, group_id: str) -> Document:
        """The fields of a group."""
        return _fields(self.groups.get(group_id), GROUP_FIELDS)

    def of_partition(self, group_id: str, topic: str, partition: int) -> Document:
        """The fields of a partition of it."""
        return _fields(self.partitions.get((group_id, topic, partition)), PARTITION_FIELDS)

    def rebalances(self, group_id: str) -> list[Document] | None:
        """The last of them, oldest first."""
        found = self.groups.get(group_id)
        return None if found is None else found["rebalances"]


NOTHING = Told({}, {})


def http_option(function: Any) -> Any:
    """--http, of the commands that may do without."""
    return click.option(
        "--http",
        metavar="HOST:PORT",
        envvar="LOGSERVER_HTTP",
        help="The server's HTTP address (or LOGSERVER_HTTP), for status, drain and rebalances; "
        f"without it port {HTTP_PORT} beside --bootstrap is tried.",
    )(function)


def ask_server(admin: "Admin", bootstrap: str, http: str | None, names: Sequence[str]) -> Told:
    """What the server tells of some groups, or of all; NOTHING where it does not answer.

    Whoever named an address hears why it did not help.
    """
    from urllib.parse import urlencode

    address = http or beside(bootstrap)
    query = urlencode([("group", name) for name in names])
    query = f"?{query}" if query and len(query) <= QUERY_CHARACTERS_MAX else ""
    try:
        groups = ask(address, f"/groups{query}", timeout_s=TIMEOUT_S)
        lag = ask(address, f"/lag{query}", timeout_s=TIMEOUT_S) if groups else []
        cluster_id = admin.describe_cluster().cluster_id
        if any(one["cluster_id"] != cluster_id for one in groups):
            return _nothing(http, f"http://{address} belongs to another server")
        return Told(
            {one["group"]: one for one in groups},
            {(one["group"], one["topic"], one["partition"]): one for one in lag},
        )
    except CommandError as error:
        return _nothing(http, str(error))
    except (KeyError, TypeError):
        return _nothing(http, f"http://{address} is not a logserver")


def _nothing(http: str | None, why: str) -> Told:
    if http:
        click.echo(f"told without status and rebalances: {why}", err=True)
    return NOTHING


def _fields(document: Document | None, names: Sequence[str]) -> Document:
    return {name: None if document is None else document[name] for name in names}
