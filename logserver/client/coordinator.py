"""The one broker that knows a group: found when it is needed, and found again when it has moved.

A coordinator comes and goes: it is loading, it has moved, the server was restarted. All of that
ends by asking again, so it is done here once. What else an answer says is its reader's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from logserver.client.cluster import Cluster
from logserver.client.connection import FIND_COORDINATOR, Address, Connection
from logserver.client.failure import ClientError, refusal
from logwire.errors import (
    COORDINATOR_LOAD_IN_PROGRESS,
    COORDINATOR_NOT_AVAILABLE,
    NOT_COORDINATOR,
)
from logwire.messages import Message

GROUP: Final = 0  # FindCoordinator's key types
_ASK_AGAIN: Final = frozenset(
    {COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR}
)

Codes = Callable[[Message], Iterable[int]]


class GroupCoordinator:
    """The coordinator of `group_id` among the servers of `cluster`.

    Every question is repeated for up to `timeout_ms` while its coordinator is away.
    """

    def __init__(self, cluster: Cluster, group_id: str, *, timeout_ms: int) -> None:
        self.cluster = cluster
        self.group_id = group_id
        self.timeout_ms = timeout_ms
        self._node_id: int | None = None

    def request(
        self,
        api_key: int,
        message: Mapping[str, Any] | Callable[[int], Mapping[str, Any]],
        codes: Codes,
        *,
        what: str,
        timeout_ms: int | None = None,
    ) -> Message:
        """Ask the coordinator. `codes` finds the error codes in an answer, `what` begins a refusal.

        A function as `message` is called for each attempt, with the version that it is for. With a
        `timeout_ms` of 0 there is one. Raises `ClientError`: what `is_away` when time is up, others
        at once.
        """
        failure: ClientError | None = None
        for _ in self.cluster.attempts(self.timeout_ms if timeout_ms is None else timeout_ms):
            try:
                connection = self.connection()
                version = connection.version(api_key)
                body = message(version) if callable(message) else message
                answer = connection.request(api_key, dict(body), version)
            except ClientError as error:
                if not is_away(error):
                    raise
                self._node_id = None
                failure = error
                continue
            code = next((code for code in codes(answer) if code in _ASK_AGAIN), None)
            if code is None:
                return answer
            failure = refusal(what, code)
            if code != COORDINATOR_LOAD_IN_PROGRESS:
                self._node_id = None
        assert failure is not None
        raise failure

    def connection(self) -> Connection:
        """An open connection to the coordinator; finding it raises `ClientError`."""
        if self._node_id is None:
            self._node_id = self._find()
        return self.cluster.data(self._node_id)

    def _find(self) -> int:
        answer = self.cluster.request(
            FIND_COORDINATOR,
            {"key": self.group_id, "key_type": GROUP, "coordinator_keys": [self.group_id]},
        )
        row = answer["coordinators"][0] if answer["coordinators"] else answer
        if row["error_code"]:
            what = f"find the coordinator of group {self.group_id}"
            raise refusal(what, row["error_code"], row["error_message"])
        node_id: int = row["node_id"]
        self.cluster.brokers[node_id] = Address(row["host"], row["port"])
        return node_id


def is_away(error: ClientError) -> bool:
    """Whether all that is wrong is a coordinator that is loading, has moved or does not answer."""
    return error.kind in ("connect", "closed", "timeout") or error.code in _ASK_AGAIN
