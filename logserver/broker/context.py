"""What a control-plane handler may know of the request it answers, and what it may ask for."""

from __future__ import annotations


class Context:
    """Version, caller and time of one control-plane request.

    A handler that appended to the metadata log sets `after_sync`: its answer then leaves only
    when the group commit has covered what was appended, like an acks=all produce.
    """

    __slots__ = (
        "after_sync",
        "api_key",
        "api_version",
        "client_id",
        "listener",
        "local_address",
        "now_ms",
    )

    def __init__(
        self,
        api_key: int,
        api_version: int,
        client_id: str | None,
        listener: str,
        local_address: tuple[str, int],
        now_ms: int,
    ) -> None:
        self.api_key = api_key
        self.api_version = api_version
        self.client_id = client_id
        self.listener = listener
        self.local_address = local_address
        self.now_ms = now_ms
        self.after_sync = False
