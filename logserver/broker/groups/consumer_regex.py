"""The regular expressions that members of a group subscribe by, and what they match.

An expression is looked up at once when the first member brings it, and again when topics came or
went, or when the last time is long ago. Most look-ups end within the heartbeat that began them. One
that does not (very many topics, or an expression made to be slow) goes on in slices between which
the server does its other work; its end is then a step of its own that begins a new group epoch.

Kafka resolves in a thread of its own and therefore always answers the first heartbeat without the
topics; here the first answer usually has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from logserver.broker.groups.consumer_state import Resolved
from logserver.broker.groups.regex import PatternError, Search, TopicPattern
from logwire import errors
from logwire.errors import Refusal

if TYPE_CHECKING:
    from logserver.broker.groups.consumer_step import Step

# A slice is some milliseconds; at one in 20 ms a hostile expression gets a fifth of the time.
SLICE_WORK_COUNT = 10_000
SLICE_PAUSE_MS = 20

# Topics that come and go one after the other are looked at together.
REFRESH_PAUSE_MS = 1000


class RegexSearch:
    """The look-up of a group: the one under way, if any, and of what time the last one is."""

    __slots__ = ("names_version", "next_slice_ms", "search", "started_ms", "version")

    def __init__(self) -> None:
        self.search: Search | None = None
        self.names_version = -1
        self.version = 0
        self.started_ms = 0
        self.next_slice_ms: int | None = None


def check_regex(regex: str) -> None:
    """Read an expression. Raises Refusal (INVALID_REGULAR_EXPRESSION)."""
    try:
        TopicPattern(regex)
    except PatternError as error:
        raise Refusal(
            errors.INVALID_REGULAR_EXPRESSION,
            f"SubscribedTopicRegex `{regex}` is not a valid regular expression: {error}.",
        ) from None


def find_topics(step: Step) -> bool:
    """Begin what is to be looked up and do a slice of it; whether anything new was found."""
    if step.group.regex_search.search is None and step.state.regexes:
        _begin(step)
    return advance_search(step)


def _begin(step: Step) -> None:
    state, cluster, ours = step.state, step.cluster, step.group.regex_search
    age_ms = step.now.uptime_ms - ours.started_ms
    stale = cluster.names_version != ours.names_version and age_ms >= REFRESH_PAUSE_MS
    if stale or ours.names_version < 0 or age_ms >= step.settings.regex_refresh_interval_ms:
        regexes = list(state.regexes)
        ours.names_version = cluster.names_version
        ours.started_ms = step.now.uptime_ms
    elif len(state.resolved) < len(state.regexes):
        regexes = [regex for regex in state.regexes if regex not in state.resolved]
    else:
        return
    ours.search = Search(regexes, cluster.topic_names())
    ours.version = cluster.version


def advance_search(step: Step) -> bool:
    """Do a slice of a search that is under way, if one is; whether it has found anything new."""
    ours = step.group.regex_search
    ours.next_slice_ms = None
    if ours.search is None:
        return False
    if not ours.search.advance(SLICE_WORK_COUNT):
        ours.next_slice_ms = step.now.uptime_ms + SLICE_PAUSE_MS
        return False
    found, ours.search = ours.search.found, None
    changed = False
    for regex, topics in found.items():
        if regex not in step.state.regexes:
            continue  # who used it has gone meanwhile
        old = step.state.resolved.get(regex)
        if old is None or old.topics != topics:
            resolved = Resolved(frozenset(topics), ours.version, step.now.wall_ms)
            step.write_resolved(regex, resolved)
            changed = True
    return changed
