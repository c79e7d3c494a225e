"""Deadlines that are put off, brought near, and dropped."""

from __future__ import annotations

from random import Random

from logserver.broker.groups.deadlines import SWEEP_COUNT_MIN, Deadlines

SEED = 20_260_401


def expired(deadlines: Deadlines, now_ms: int) -> list[str]:
    """All that is due, in the order it comes."""
    names = []
    while (name := deadlines.expire(now_ms)) is not None:
        names.append(name)
    return names


def test_names_come_due_in_the_order_of_time() -> None:
    """Whatever the order they were set in; what is not due stays."""
    deadlines = Deadlines()
    for name, due_ms in (("late", 30), ("early", 10), ("middle", 20)):
        deadlines.set(name, due_ms)
    assert deadlines.next_due_ms() == 10
    assert expired(deadlines, 20) == ["early", "middle"]
    assert deadlines.next_due_ms() == 30
    assert len(deadlines) == 1


def test_a_deadline_put_off_costs_no_entry_and_no_wake() -> None:
    """Ten thousand heartbeats: the time to look at next does not move."""
    deadlines = Deadlines()
    deadlines.set("session", 100)
    for due_ms in range(101, 10_000):
        deadlines.set("session", due_ms)
    assert deadlines.next_due_ms() == 100
    assert len(deadlines._heap) == 1
    assert expired(deadlines, 100) == []
    assert deadlines.next_due_ms() == 9_999
    assert expired(deadlines, 9_999) == ["session"]


def test_a_deadline_brought_near_counts_at_once_and_only_once() -> None:
    """The entry that stood there first is dead."""
    deadlines = Deadlines()
    deadlines.set("member", 1_000)
    deadlines.set("member", 10)
    assert deadlines.next_due_ms() == 10
    assert expired(deadlines, 2_000) == ["member"]
    assert deadlines.next_due_ms() is None


def test_what_is_dropped_never_comes_due() -> None:
    """Also when it is set again, with another time."""
    deadlines = Deadlines()
    deadlines.set("member", 10)
    deadlines.drop("member")
    deadlines.drop("nobody")
    assert deadlines.next_due_ms() is None
    deadlines.set("member", 50)
    assert expired(deadlines, 40) == []
    assert "member" in deadlines
    assert expired(deadlines, 50) == ["member"]


def test_dead_entries_are_swept_out() -> None:
    """A deadline that is brought nearer again and again does not fill the memory."""
    deadlines = Deadlines()
    for due_ms in range(100_000, 0, -1):
        deadlines.set("member", due_ms)
    assert len(deadlines._heap) <= SWEEP_COUNT_MIN + 1
    assert expired(deadlines, 1) == ["member"]


def test_random_deadlines_agree_with_a_dictionary() -> None:
    """Thousands of moves: exactly what a dictionary says is due comes, and never before it is."""
    random = Random(SEED)
    deadlines = Deadlines()
    model: dict[str, int] = {}
    now_ms = 0
    for _ in range(5_000):
        name = f"m{random.randrange(20)}"
        move = random.random()
        if move < 0.6:
            model[name] = now_ms + random.randrange(1, 200)
            deadlines.set(name, model[name])
        elif move < 0.8:
            model.pop(name, None)
            deadlines.drop(name)
        else:
            now_ms += random.randrange(50)
            due = {name for name, due_ms in model.items() if due_ms <= now_ms}
            assert set(expired(deadlines, now_ms)) == due, f"seed {SEED}"
            for name in due:
                del model[name]
        next_ms = deadlines.next_due_ms()
        earliest_ms = min(model.values(), default=None)
        assert (next_ms is None) == (earliest_ms is None)
        assert next_ms is None or earliest_ms is None or next_ms <= earliest_ms
