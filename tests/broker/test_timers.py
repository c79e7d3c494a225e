"""logserver.broker.timers: in time, in order, and called off without a trace."""

from random import Random

from logserver.broker.timers import CANCELLED_COUNT_MAX, NEVER_MS, Timer, Timers


def test_what_is_due_runs_in_order_and_once() -> None:
    """By time, and of equal times in the order they were set."""
    timers, ran = Timers(), list[str]()
    for due_ms, name in ((30, "c"), (10, "a"), (20, "b1"), (20, "b2")):
        timers.at(due_ms, lambda name=name: ran.append(name))  # type: ignore[misc]
    assert timers.next_due_ms == 10
    timers.expire(20)
    assert (ran, timers.next_due_ms, len(timers)) == (["a", "b1", "b2"], 30, 1)
    timers.expire(1000)
    timers.expire(1000)
    assert (ran, timers.next_due_ms) == (["a", "b1", "b2", "c"], NEVER_MS)


def test_a_cancelled_timer_does_not_run() -> None:
    """Cancelling again, or after it ran, is nothing."""
    timers, ran = Timers(), list[int]()
    kept, dropped = timers.at(5, lambda: ran.append(0)), timers.at(5, lambda: ran.append(1))
    dropped.cancel()
    dropped.cancel()
    assert len(timers) == 1
    timers.expire(5)
    kept.cancel()
    assert (ran, len(timers)) == ([0], 0)


def test_a_callback_may_set_and_cancel_timers() -> None:
    """One that is due already runs in the same call."""
    timers, ran = Timers(), list[str]()
    later = timers.at(9, lambda: ran.append("never"))

    def first() -> None:
        ran.append("first")
        timers.at(1, lambda: ran.append("second"))
        later.cancel()

    timers.at(1, first)
    timers.expire(9)
    assert (ran, len(timers)) == (["first", "second"], 0)


def test_setting_off_again_for_ever_costs_no_memory() -> None:
    """A session that is renewed at every heartbeat leaves its old deadlines behind."""
    seed = 4
    random, timers, ran = Random(seed), Timers(), list[int]()

    def set_off(number: int) -> Timer:
        return timers.at(random.randrange(1 << 40), lambda: ran.append(number))

    live = [set_off(number) for number in range(9)]
    for _ in range(20 * CANCELLED_COUNT_MAX):
        number = random.randrange(9)
        live[number].cancel()
        live[number] = set_off(number)
        assert len(timers._heap) <= 2 * CANCELLED_COUNT_MAX + 9, seed
    timers.expire(1 << 40)
    assert (sorted(ran), len(timers)) == (list(range(9)), 0)
