"""The member's machine: what each heartbeat says, and what a lost answer does to the next one."""

from __future__ import annotations

import random

from logserver.client.membership import Membership, OwnedPartition, by_topic
from logwire.messages import Message

A, B = bytes(15) + b"\1", bytes(15) + b"\2"
NEWEST = 1


def member(instance_id: str | None = None) -> Membership:
    return Membership(
        "g", ["t"], member_id="m", instance_id=instance_id, rebalance_timeout_ms=300_000
    )


def answer(epoch: int, partitions: set[OwnedPartition] | None = None, **fields: object) -> Message:
    """A coordinator's answer; without partitions it says nothing of an assignment."""
    assignment = None if partitions is None else {"topic_partitions": by_topic(partitions)}
    message = {"member_id": None, "member_epoch": epoch, "heartbeat_interval_ms": 5000}
    return message | {"assignment": assignment} | fields


def test_joining_says_everything_and_owns_nothing() -> None:
    """Epoch 0, the subscription, the rebalance timeout, and an empty list of partitions."""
    machine = member()
    assert machine.request(NEWEST) == {
        "group_id": "g",
        "member_id": "m",
        "member_epoch": 0,
        "instance_id": None,
        "rebalance_timeout_ms": 300_000,
        "subscribed_topic_names": ["t"],
        "topic_partitions": [],
    }
    assert not machine.is_member


def test_a_steady_heartbeat_says_only_who_and_at_which_epoch() -> None:
    """Everything else is null, which means: as before."""
    machine = member("i")
    machine.request(NEWEST)
    machine.answered(answer(3))
    assert machine.request(NEWEST) == {
        "group_id": "g",
        "member_id": "m",
        "member_epoch": 3,
        "instance_id": "i",
    }


def test_an_assignment_is_owned_when_the_caller_says_so_and_then_told_once() -> None:
    """Told, taken, acknowledged, settled."""
    machine = member()
    machine.request(NEWEST)
    machine.answered(answer(1, {(A, 0), (A, 1), (B, 7)}))
    assert machine.target == {(A, 0), (A, 1), (B, 7)}
    assert not machine.is_settled
    machine.own(machine.target)
    said = machine.request(NEWEST)["topic_partitions"]
    assert said == [{"topic_id": A, "partitions": [0, 1]}, {"topic_id": B, "partitions": [7]}]
    machine.answered(answer(1))
    assert machine.is_settled
    assert "topic_partitions" not in machine.request(NEWEST)


def test_losing_all_partitions_is_told_as_an_empty_list() -> None:
    """An empty assignment is not the same as none."""
    machine = member()
    machine.request(NEWEST)
    machine.answered(answer(1, {(A, 0)}))
    machine.own(machine.target)
    machine.request(NEWEST)
    machine.answered(answer(1, set()))
    machine.own(())
    assert machine.request(NEWEST)["topic_partitions"] == []


def test_after_a_lost_answer_everything_is_said_again() -> None:
    """The coordinator may have moved on to the next epoch; it takes the old one with all we own."""
    machine = member()
    machine.request(NEWEST)
    machine.answered(answer(1, {(A, 0)}))
    machine.own(machine.target)
    machine.request(NEWEST)
    machine.answered(answer(1))
    machine.request(NEWEST)  # whose answer never comes
    again = machine.request(NEWEST)
    assert again["member_epoch"] == 1
    assert again["topic_partitions"] == [{"topic_id": A, "partitions": [0]}]
    assert again["subscribed_topic_names"] == ["t"]
    machine.answered(answer(2))
    assert "subscribed_topic_names" not in machine.request(NEWEST)


def test_a_fenced_member_joins_again_under_its_id_and_owns_nothing() -> None:
    """What it had may be another's by now."""
    machine = member()
    machine.request(NEWEST)
    machine.answered(answer(4, {(A, 0)}))
    machine.own(machine.target)
    machine.request(NEWEST)
    machine.restart()
    assert (machine.owned, machine.target) == (frozenset(), frozenset())
    joining = machine.request(NEWEST)
    assert (joining["member_id"], joining["member_epoch"]) == ("m", 0)
    assert joining["topic_partitions"] == []


def test_leaving_keeps_the_place_of_a_member_with_a_name() -> None:
    """-1 for good, -2 for now."""
    assert member().leave_request()["member_epoch"] == -1
    assert member("i").leave_request()["member_epoch"] == -2


def test_a_member_is_known_from_its_first_question_on() -> None:
    """Its answer can be lost; leaving must be possible then."""
    machine = member()
    assert not machine.may_be_known
    machine.request(NEWEST)
    assert machine.may_be_known


def test_an_older_coordinator_chooses_the_id_of_a_member() -> None:
    """Version 0, before KIP-1082."""
    machine = member()
    assert machine.request(0)["member_id"] == ""
    machine.answered(answer(1, member_id="given"))
    assert machine.request(0)["member_id"] == "given"


def test_who_has_nothing_to_read_asks_sooner_and_ever_less_so() -> None:
    """Up to the coordinator's own pace; with the first partition that is the pace at once."""
    machine = member()
    machine.request(NEWEST)
    machine.answered(answer(1, set()))
    pauses_ms = [machine.pause_ms]
    for _ in range(7):
        machine.request(NEWEST)
        machine.answered(answer(1))
        pauses_ms.append(machine.pause_ms)
    assert pauses_ms == [200, 400, 800, 1600, 3200, 5000, 5000, 5000]
    machine.request(NEWEST)
    machine.answered(answer(2, {(A, 0)}))
    assert machine.pause_ms == 5000
    machine.restart()
    machine.answered(answer(3, set()))
    assert machine.pause_ms == 200


def test_a_coordinator_in_a_hurry_is_asked_ten_times_a_second_at_most() -> None:
    """Whatever it says: the member also wants to read."""
    machine = member()
    machine.answered(answer(1, {(A, 0)}, heartbeat_interval_ms=0))
    assert machine.pause_ms == 100


class Coordinator:
    """What a coordinator knows of its one member; it bumps the epoch with each new assignment."""

    def __init__(self) -> None:
        self.epoch = 0
        self.previous_epoch = 0
        self.owned: set[OwnedPartition] = set()
        self.target: set[OwnedPartition] = set()
        self.told: set[OwnedPartition] | None = None

    def answer(self, request: Message) -> Message | None:
        """None: fenced. The rules of KIP-848 for the epoch of a member."""
        epoch, said = request["member_epoch"], request.get("topic_partitions")
        partitions = None if said is None else owned_of(said)
        if epoch == 0 or "subscribed_topic_names" in request:
            self.told = None
        if epoch not in (0, self.epoch):
            known = epoch == self.previous_epoch and partitions is not None
            if not known or not (partitions or set()) <= self.target:
                return None
            self.told = None
        if partitions is not None:
            self.owned = partitions
        if epoch == 0 or self.told != self.target:
            self.previous_epoch, self.epoch = self.epoch, self.epoch + 1
            self.told = set(self.target)
            return answer(self.epoch, self.target)
        return answer(self.epoch)


def owned_of(rows: list[Message]) -> set[OwnedPartition]:
    return {(row["topic_id"], part) for row in rows for part in row["partitions"]}


def test_lost_questions_and_answers_never_leave_the_two_sides_apart() -> None:
    """Whatever is lost or fenced, after an answer the coordinator knows what the member owns."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(200):
        machine, coordinator = member(), Coordinator()
        for _ in range(30):
            if rng.random() < 0.3:
                count = rng.randrange(4)
                coordinator.target = {(A, rng.randrange(3)) for _ in range(count)}
            request = machine.request(NEWEST)
            if rng.random() < 0.2:
                continue  # the question is lost
            answered = coordinator.answer(request)
            if answered is None:
                machine.restart()
                continue
            if rng.random() < 0.2:
                continue  # the answer is lost
            machine.answered(answered)
            assert coordinator.owned == machine.owned
            assert machine.epoch == coordinator.epoch
            if rng.random() < 0.8:
                machine.own(machine.target)
        coordinator.told = None  # the next answer, at last, arrives
        while not machine.is_settled or coordinator.told is None:
            answered = coordinator.answer(machine.request(NEWEST))
            if answered is None:
                machine.restart()
                continue
            machine.answered(answered)
            machine.own(machine.target)
        assert coordinator.owned == machine.owned == coordinator.target
