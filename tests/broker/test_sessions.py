"""Fetch sessions: epochs counted on both sides, fairness, and a bounded cache."""

from random import Random

import pytest

from logserver.broker.sessions import (
    EPOCH_MAX,
    EVICTION_MS,
    WANTED_COUNT_MAX,
    FetchSession,
    SessionCache,
)
from logwire import errors


def asked(index: int, offset: int = 0) -> tuple[int, int, int, int, int, int]:
    """One partition as a request names it."""
    return (index, -1, offset, -1, -1, 1024)


@pytest.fixture
def cache() -> SessionCache:
    """A cache with two slots."""
    return SessionCache(2, Random(7))


def started(cache: SessionCache, now_ms: int = 0) -> FetchSession:
    """A session with partitions 0, 1 and 2 of one topic."""
    session = cache.create(now_ms, [("telemetry", [asked(0), asked(1), asked(2)])])
    assert session is not None
    return session


def test_a_session_continues_with_the_epoch_that_both_sides_counted(cache: SessionCache) -> None:
    """The first incremental request has epoch 1, the next 2."""
    session = started(cache)
    assert cache.resume(session.session_id, 1, 5) is session
    assert cache.resume(session.session_id, 2, 6) is session


def test_a_repeated_or_skipped_epoch_is_invalid(cache: SessionCache) -> None:
    """A lost or doubled request shows in the epoch and leaves the session as it was."""
    session = started(cache)
    assert cache.resume(session.session_id, 2, 0) == errors.INVALID_FETCH_SESSION_EPOCH
    assert cache.resume(session.session_id, 1, 0) is session


def test_the_epoch_goes_on_at_one_after_the_largest(cache: SessionCache) -> None:
    """Epoch 0 means a new session, so it is skipped (KIP-227)."""
    session = started(cache)
    session.epoch = EPOCH_MAX
    assert cache.resume(session.session_id, EPOCH_MAX, 0) is session
    assert session.epoch == 1


def test_an_unknown_session_is_said_to_be_unknown(cache: SessionCache) -> None:
    """A client that hears this starts a new session."""
    assert cache.resume(12345, 1, 0) == errors.FETCH_SESSION_ID_NOT_FOUND


def test_an_incremental_request_updates_adds_and_forgets(cache: SessionCache) -> None:
    """Only what changed is named."""
    session = started(cache)
    session.add([("telemetry", [asked(1, offset=9), asked(3)])])
    session.forget([("telemetry", [0, 17])])
    wanted = {(w.topic, w.index): w.fetch_offset for w in session.wanted.values()}
    assert wanted == {("telemetry", 1): 9, ("telemetry", 2): 0, ("telemetry", 3): 0}


def test_partitions_that_were_served_go_to_the_end(cache: SessionCache) -> None:
    """The others have their turn first under a small max_bytes."""
    session = started(cache)
    session.to_the_end([session.wanted["telemetry", 0]])
    assert [wanted.index for wanted in session.wanted.values()] == [1, 2, 0]


def test_a_full_cache_gives_no_session_while_all_are_in_use(cache: SessionCache) -> None:
    """Such a client is answered without a session."""
    started(cache, 0)
    started(cache, 0)
    assert cache.create(EVICTION_MS - 1, []) is None


def test_a_full_cache_evicts_the_session_that_was_idle_for_longest(cache: SessionCache) -> None:
    """Use, not age, decides."""
    first = started(cache, 0)
    second = started(cache, 1)
    cache.resume(first.session_id, 1, 10)
    third = cache.create(EVICTION_MS + 5, [])
    assert third is not None
    assert set(cache.sessions) == {first.session_id, third.session_id}
    assert second.session_id not in cache.sessions
    assert cache.evicted == 1


def test_a_session_by_name_is_not_continued_by_id(cache: SessionCache) -> None:
    """Version 13 brought topic ids; an answer can only name what its version knows (KIP-516)."""
    session = started(cache)
    code = cache.resume(session.session_id, 1, 0, by_id=True)
    assert code == errors.FETCH_SESSION_TOPIC_ID_ERROR
    assert cache.resume(session.session_id, 1, 0) is session


def test_all_sessions_together_want_a_bounded_number_of_partitions(cache: SessionCache) -> None:
    """Past it no session is to be had, and one that grows ends; both clients go on without."""
    session = started(cache)
    many = [asked(index) for index in range(WANTED_COUNT_MAX - 3)]
    assert cache.create(1, [("telemetry", [*many, asked(2**31 - 1)])]) is None
    assert cache.change(session, [("other", many)], [])
    assert not cache.change(session, [("third", many[:1])], [])
    assert cache.resume(session.session_id, 1, 2) == errors.FETCH_SESSION_ID_NOT_FOUND
    assert cache.wanted_count == 0


def test_what_a_session_forgets_or_takes_along_is_not_counted(cache: SessionCache) -> None:
    """Forgotten, removed and evicted partitions make room."""
    session = started(cache)
    assert cache.change(session, [("telemetry", [asked(7)])], [("telemetry", [0, 1])])
    assert cache.wanted_count == 2
    started(cache, 1)
    started(cache, EVICTION_MS + 1)
    assert cache.wanted_count == 6
    for session_id in list(cache.sessions):
        cache.remove(session_id)
    assert cache.wanted_count == 0
