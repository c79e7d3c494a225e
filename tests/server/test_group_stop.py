"""A stop of the server, while members of a group wait for each other."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from random import Random

from logwire import errors
from tests.crash.group_reader import GroupReader
from tests.crash.raw_client import FIND_COORDINATOR, JOIN_GROUP, RawClient
from tests.server_process import ServerProcess


def test_members_that_wait_are_sent_to_another_broker(
    start_server: Callable[..., ServerProcess],
) -> None:
    """The first member of a group waits a minute for others; a stop does not wait with it."""
    server = start_server({"group.initial.rebalance.delay.ms": "60000"})
    reader = GroupReader("group", "topic", 1, Random(1))
    reader.client = client = RawClient(server.kafka_address)
    client.ask(FIND_COORDINATOR, {"key_type": 0, "coordinator_keys": ["group"]})
    answer = reader.ask_to_join()
    assert answer["error_code"] == errors.MEMBER_ID_REQUIRED
    reader.member_id = answer["member_id"]
    client.send(JOIN_GROUP, reader.join_request())
    beside = RawClient(server.kafka_address)  # once it is answered, the join was read as well
    beside.ask(FIND_COORDINATOR, {"key_type": 0, "coordinator_keys": ["group"]})
    os.kill(server.pid, signal.SIGTERM)
    assert client.receive()["error_code"] == errors.NOT_COORDINATOR
    client.close()
    beside.close()
    assert server.stop() == 0
