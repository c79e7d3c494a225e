"""logserver.server.poller: rounds, interest in descriptors, and when it is worth not to sleep."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest
import uvloop

from logserver.server.poller import LUCK_MAX, LUCK_MIN, ROUND_COUNT_MAX, Poller


class Bench:
    """A poller on a loop of its own, pairs of sockets, and a diary of what was called."""

    def __init__(self, spin_ns: int = 0) -> None:
        self.loop = uvloop.new_event_loop()
        self.diary: list[str] = []
        self.give_way = False
        self.poller = Poller(self.loop, self._begin, self._end, spin_ns)
        self.sockets: list[socket.socket] = []

    def _begin(self) -> None:
        self.diary.append("begin")

    def _end(self) -> bool:
        self.diary.append("end")
        return self.give_way

    def pair(self, name: str) -> tuple[socket.socket, socket.socket]:
        """Two ends; the first is watched and reads what the second sends."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.sockets += [ours, theirs]

        def on_readable() -> None:
            self.diary.append(name + ":" + ours.recv(100).decode())

        self.poller.add_reader(ours.fileno(), on_readable)
        return ours, theirs

    def turn(self) -> list[str]:
        """One turn of the loop; what was called in it."""
        self.diary.clear()

        async def once() -> None:
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        self.loop.run_until_complete(once())
        return list(self.diary)

    def close(self) -> None:
        self.poller.close()
        for one in self.sockets:
            one.close()
        self.loop.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    """One that never spins."""
    bench = Bench()
    yield bench
    bench.close()


def test_everybody_who_is_ready_is_served_in_one_round(bench: Bench) -> None:
    """The end of the round comes once, after the last of them."""
    for name in "abc":
        bench.pair(name)[1].send(b"1")
    diary = bench.turn()
    assert diary[0] == "begin"
    assert sorted(diary[1:4]) == ["a:1", "b:1", "c:1"]
    assert diary[4:] == ["end"]


def test_rounds_follow_one_another_while_there_is_work(bench: Bench) -> None:
    """What became ready during a round needs no visit to the loop."""
    ours, theirs = bench.pair("a")
    other = bench.pair("b")[1]

    def answered() -> None:
        bench.diary.append("a:" + ours.recv(100).decode())
        other.send(b"2")

    bench.poller.add_reader(ours.fileno(), answered)
    theirs.send(b"1")
    assert bench.turn() == ["begin", "a:1", "end", "begin", "b:2", "end"]


def test_the_end_of_a_round_can_give_way_to_the_loop(bench: Bench) -> None:
    """A group commit that was scheduled there must not wait for the next round."""
    ours, theirs = bench.pair("a")
    other = bench.pair("b")[1]
    bench.give_way = True
    scheduled: list[str] = []

    def answered() -> None:
        ours.recv(100)
        other.send(b"2")
        bench.loop.call_soon(lambda: scheduled.append("+".join(bench.diary)))

    bench.poller.add_reader(ours.fileno(), answered)
    theirs.send(b"1")
    bench.turn()
    bench.turn()
    assert scheduled == ["begin+end"]


def test_many_ready_descriptors_are_served_in_several_rounds(bench: Bench) -> None:
    """The first of a round waits for its answer until the last was served."""
    for number in range(ROUND_COUNT_MAX + 5):
        bench.pair(str(number))[1].send(b"x")
    diary = bench.turn()
    assert diary.count("begin") == diary.count("end") == 2
    assert len([entry for entry in diary if entry.endswith(":x")]) == ROUND_COUNT_MAX + 5
    assert diary.index("end") == ROUND_COUNT_MAX + 1


def test_who_was_closed_in_the_round_is_not_called(bench: Bench) -> None:
    """The first callback of a round takes away the interest of the second."""
    (first, to_first), (second, to_second) = bench.pair("a"), bench.pair("b")
    called: list[int] = []

    def take(mine: socket.socket, other: socket.socket) -> None:
        called.append(mine.fileno())
        mine.recv(10)
        bench.poller.remove_reader(other.fileno())

    bench.poller.add_reader(first.fileno(), lambda: take(first, second))
    bench.poller.add_reader(second.fileno(), lambda: take(second, first))
    to_first.send(b"1")
    to_second.send(b"1")
    bench.turn()
    assert len(called) == 1


def test_reading_and_writing_are_watched_apart(bench: Bench) -> None:
    """And a descriptor that nobody is interested in is forgotten."""
    ours, theirs = bench.pair("a")
    fd = ours.fileno()

    def written() -> None:
        bench.diary.append("writable")
        bench.poller.remove_writer(fd)

    bench.poller.add_writer(fd, written)
    assert bench.turn() == ["begin", "writable", "end"]
    theirs.send(b"1")
    assert bench.turn() == ["begin", "a:1", "end"]
    bench.poller.remove_reader(fd)
    bench.poller.remove_reader(fd)
    theirs.send(b"2")
    assert bench.turn() == []


def test_a_peer_that_hangs_up_on_a_writer_is_told_to_the_writer(bench: Bench) -> None:
    """Whoever is not being read still has to hear that its peer has gone."""
    ours, theirs = bench.pair("a")
    fd = ours.fileno()
    bench.poller.remove_reader(fd)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    while True:
        try:
            ours.send(bytes(4096))
        except BlockingIOError:
            break
    heard: list[str] = []

    def on_writable() -> None:
        heard.append("told")
        bench.poller.remove_writer(fd)

    bench.poller.add_writer(fd, on_writable)
    assert bench.turn() == []
    theirs.close()
    bench.turn()
    assert heard == ["told"]


def test_short_waits_make_it_spin_and_a_long_one_or_a_helper_stops_it() -> None:
    """While it spins, what becomes ready is served without another visit to the loop."""
    bench = Bench(spin_ns=10_000_000_000)
    try:
        _, theirs = bench.pair("a")
        bench.give_way = True
        for _ in range(LUCK_MIN + 1):  # the first wait was long
            theirs.send(b"1")
            bench.turn()
        assert LUCK_MIN <= bench.poller._luck <= LUCK_MAX
        bench.give_way = False
        bench.poller.jobs_count = 1  # a helper is at work: it returns at once
        theirs.send(b"2")
        assert bench.turn() == ["begin", "a:2", "end"]
        bench.poller.jobs_count = 0
        bench.poller._spin_ns = 1  # every wait is too long now: so does this one
        for _ in range(LUCK_MAX + 1):
            theirs.send(b"3")
            assert bench.turn() == ["begin", "a:3", "end"]
        assert bench.poller._luck == 0
    finally:
        bench.close()
