"""InitProducerId: ids that are never given twice."""

from random import Random
from typing import Any

import pytest

from logwire import errors
from logwire.messages import Message
from tests.broker.control_bench import ControlBench


def init(bench: ControlBench, version: int = 5, **fields: Any) -> Message:
    """The answer to InitProducerId."""
    request = {"transactional_id": None, "transaction_timeout_ms": 1000, **fields}
    return bench.call(22, version, request)


@pytest.fixture
def bench() -> ControlBench:
    """A broker that has given no id yet."""
    return ControlBench()


@pytest.mark.parametrize("version", range(6))
def test_every_producer_gets_its_own_id_with_epoch_zero(bench: ControlBench, version: int) -> None:
    """From one block of a thousand, then from the next."""
    answers = [init(bench, version) for _ in range(1500)]
    assert len({answer["producer_id"] for answer in answers}) == 1500
    assert {answer["producer_epoch"] for answer in answers} == {0}
    assert bench.broker.image.next_producer_id == 2000


def test_every_answer_of_a_block_waits_until_the_block_is_durable(bench: ControlBench) -> None:
    """Not only the first: all of them would be given again after a power cut."""
    for _ in range(3):
        init(bench)
        assert bench.context.after_sync
    bench.sync()
    init(bench)
    assert not bench.context.after_sync


def test_a_start_begins_a_new_block(bench: ControlBench) -> None:
    """What was left of the old one is lost, which costs nothing."""
    first = init(bench)["producer_id"]
    bench.restart(clean=False)
    assert init(bench)["producer_id"] == first + 1000


@pytest.mark.simulation
def test_no_id_that_was_told_is_given_again_after_a_power_cut() -> None:
    """An answer that was sent waited for the sync."""
    random = Random(22)
    for _ in range(30):
        bench = ControlBench()
        bench.sync()
        told = set()
        for _ in range(random.randrange(1, 1100)):
            producer_id = init(bench)["producer_id"]
            if random.random() < 0.01:
                bench.sync()
            if not bench.broker.metadata_log.unsynced:
                told.add(producer_id)
        cut = bench.power_cut(random)
        assert init(cut)["producer_id"] not in told


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"transactional_id": "tx"}, errors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
        ({"transactional_id": ""}, errors.INVALID_REQUEST),
        ({"producer_id": 5, "producer_epoch": -1}, errors.INVALID_REQUEST),
        ({"producer_id": -1, "producer_epoch": 1}, errors.INVALID_REQUEST),
    ],
)
def test_what_cannot_be_served_is_refused(
    bench: ControlBench, fields: dict[str, Any], code: int
) -> None:
    """Transactions are refused for good, never served as if they were plain."""
    answer = init(bench, **fields)
    assert (answer["error_code"], answer["producer_id"]) == (code, -1)
    assert answer["producer_epoch"] == -1


def test_a_producer_that_lost_its_place_gets_a_new_id(bench: ControlBench) -> None:
    """Without a transactional id, Kafka forgets the old id too."""
    answer = init(bench, producer_id=77, producer_epoch=3)
    assert (answer["error_code"], answer["producer_epoch"]) == (errors.NONE, 0)
    assert answer["producer_id"] != 77
