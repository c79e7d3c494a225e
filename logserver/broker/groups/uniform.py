"""The `uniform` assignor: equal shares, and as little moved as equal shares allow.

Two cases. When all members subscribe to the same topics, shares are numbers: each member keeps
what it has up to its quota, and what is over or new fills up the others. When they differ, no
quota can be told beforehand; then partitions nobody owns go to the least loaded subscriber, and
after that, topic by topic, partitions move from the most to the least loaded subscriber until
these two differ by one at most.

    balance of a topic: max load - min load <= 1 over its subscribers that could give or take

Moving a partition of one topic can put another topic out of balance, so topics are visited in
rounds. The loads' sum of squares falls with each move: it ends by itself; `ROUNDS_MAX` only bounds
the time for thousands of topics. (Kafka: UniformHomogeneousAssignmentBuilder and
UniformHeterogeneousAssignmentBuilder, which stops after 16 rounds as well.)
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from logserver.broker.groups.assignors import Assignment, GroupSpec

ROUNDS_MAX = 16


def assign_uniform(spec: GroupSpec) -> dict[str, Assignment]:
    """Equal shares of all partitions among the members that may read them."""
    if not spec.members:
        return {}
    return _assign_alike(spec) if spec.alike else _Mixed(spec).assign()


def _assign_alike(spec: GroupSpec) -> dict[str, Assignment]:
    topic_ids = next(iter(spec.members.values())).topic_ids
    counts = {topic_id: spec.partition_counts[topic_id] for topic_id in topic_ids}
    free = _unassigned(spec, counts)
    quota, extra_count = divmod(sum(counts.values()), len(spec.members))
    shares: dict[str, dict[bytes, frozenset[int]]] = {}
    hungry: list[tuple[str, int]] = []
    for position, (member_id, member) in enumerate(spec.members.items()):
        takes_extra = extra_count > 0
        kept, room = _keep(member.target, counts, quota + takes_extra, free)
        # An extra partition is for members that own it already, as long as enough others come.
        if room and takes_extra and len(spec.members) - position > extra_count:
            room -= 1
            takes_extra = False
        extra_count -= takes_extra
        shares[member_id] = kept
        if room:
            hungry.append((member_id, room))
    _fill(shares, hungry, free)
    return dict(shares)


def _unassigned(spec: GroupSpec, counts: dict[bytes, int]) -> list[tuple[bytes, int]]:
    """All partitions of these topics that are in nobody's target."""
    taken: dict[bytes, set[int]] = {topic_id: set() for topic_id in counts}
    for member in spec.members.values():
        for topic_id, partitions in member.target.items():
            if topic_id in taken:
                taken[topic_id] |= partitions
    return [
        (topic_id, partition)
        for topic_id, count in counts.items()
        for partition in range(count)
        if partition not in taken[topic_id]
    ]


def _keep(
    target: Assignment, counts: dict[bytes, int], quota: int, free: list[tuple[bytes, int]]
) -> tuple[dict[bytes, frozenset[int]], int]:
    """The part of a target that fits into the quota, and the room left; the rest becomes free."""
    kept: dict[bytes, frozenset[int]] = {}
    room = quota
    for topic_id, partitions in target.items():
        if topic_id not in counts:
            continue
        if len(partitions) > room:
            ordered = sorted(partitions)
            free += [(topic_id, partition) for partition in ordered[room:]]
            partitions = frozenset(ordered[:room])
        if partitions:
            kept[topic_id] = partitions
            room -= len(partitions)
    return kept, room


def _fill(
    shares: dict[str, dict[bytes, frozenset[int]]],
    hungry: list[tuple[str, int]],
    free: list[tuple[bytes, int]],
) -> None:
    """Give the free partitions to the members that have room: both sums are equal."""
    start = 0
    for member_id, room in hungry:
        gained: dict[bytes, set[int]] = {}
        for topic_id, partition in free[start : start + room]:
            gained.setdefault(topic_id, set()).add(partition)
        start += room
        share = shares[member_id]
        for topic_id, partitions in gained.items():
            share[topic_id] = share.get(topic_id, frozenset()) | partitions
    assert start >= len(free), "partitions were left without a member"


class _Mixed:
    """The assignment while it is made, for members that subscribe to different topics.

    `owners`: topic id -> member id by partition, "" where there is none. `loads`: member id ->
    number of partitions. Members are told apart, where loads are equal, by their `order`.
    """

    def __init__(self, spec: GroupSpec) -> None:
        self.spec = spec
        self.order = {member_id: position for position, member_id in enumerate(spec.members)}
        self.loads = dict.fromkeys(spec.members, 0)
        self.subscribers: dict[bytes, list[str]] = {}
        for member_id, member in spec.members.items():
            for topic_id in member.topic_ids:
                self.subscribers.setdefault(topic_id, []).append(member_id)
        self.owners = {
            topic_id: [""] * spec.partition_counts[topic_id] for topic_id in self.subscribers
        }

    def assign(self) -> dict[str, Assignment]:
        self._keep()
        # The topics with the most partitions for each subscriber first: there is most to balance.
        topic_ids = sorted(self.subscribers, key=self._rank)
        for topic_id in topic_ids:
            self._assign_free(topic_id)
        shared = [topic_id for topic_id in topic_ids if len(self.subscribers[topic_id]) > 1]
        for _ in range(ROUNDS_MAX):
            moved_count = sum(self._balance(topic_id) for topic_id in shared)
            if not moved_count:
                break
        return self._shares()

    def _rank(self, topic_id: bytes) -> tuple[float, int, bytes]:
        count = len(self.subscribers[topic_id])
        return -len(self.owners[topic_id]) / count, count, topic_id

    def _keep(self) -> None:
        for member_id, member in self.spec.members.items():
            for topic_id, partitions in member.target.items():
                if topic_id not in member.topic_ids:
                    continue
                owners = self.owners[topic_id]
                for partition in partitions:
                    owners[partition] = member_id
                self.loads[member_id] += len(partitions)

    def _heap(self, topic_id: bytes) -> list[tuple[int, int, str]]:
        heap = [
            (self.loads[member_id], self.order[member_id], member_id)
            for member_id in self.subscribers[topic_id]
        ]
        heapify(heap)
        return heap

    def _assign_free(self, topic_id: bytes) -> None:
        owners = self.owners[topic_id]
        if "" not in owners:
            return
        heap = self._heap(topic_id)
        for partition, owner in enumerate(owners):
            if not owner:
                load, order, member_id = heappop(heap)
                owners[partition] = member_id
                self.loads[member_id] = load + 1
                heappush(heap, (load + 1, order, member_id))

    def _balance(self, topic_id: bytes) -> bool:
        """Move partitions of one topic from the most to the least loaded; whether any moved."""
        loads, order = self.loads, self.order
        subscribers = self.subscribers[topic_id]
        by_load = [loads[member_id] for member_id in subscribers]
        if max(by_load) - min(by_load) <= 1:
            return False
        owners = self.owners[topic_id]
        owned: dict[str, list[int]] = {}
        for partition, owner in enumerate(owners):
            owned.setdefault(owner, []).append(partition)
        takers = self._heap(topic_id)
        givers = [(-loads[member_id], -order[member_id], member_id) for member_id in owned]
        heapify(givers)
        moved = False
        while givers:
            _, _, giver = heappop(givers)
            load, position, taker = takers[0]
            if loads[giver] - load <= 1:
                # Everybody who could give has less, and everybody who could take has more.
                break
            partition = owned[giver].pop()
            owners[partition] = taker
            heappop(takers)
            loads[giver] -= 1
            loads[taker] = load + 1
            heappush(takers, (load + 1, position, taker))
            if owned[giver]:
                heappush(givers, (-loads[giver], -order[giver], giver))
            moved = True
        return moved

    def _shares(self) -> dict[str, Assignment]:
        sets: dict[str, dict[bytes, set[int]]] = {member_id: {} for member_id in self.spec.members}
        for topic_id, owners in self.owners.items():
            for partition, owner in enumerate(owners):
                sets[owner].setdefault(topic_id, set()).add(partition)
        return {
            member_id: {topic_id: frozenset(numbers) for topic_id, numbers in share.items()}
            for member_id, share in sets.items()
        }
