"""Topic names: which are legal, which collide, which belong to the server.

A name becomes a directory name, so the legal characters are few and `.` and `..` are refused. `.`
and `_` are both legal but collide: Kafka's metric names write `.` as `_`, and monitoring could no
longer tell `a.b` from `a_b`, so the second of the two is refused. Sentences as in Apache Kafka
(org.apache.kafka.common.internals.Topic).
"""

import re

NAME_LENGTH_MAX = 249  # a directory is NAME-PARTITION and a file name has at most 255 bytes
_LEGAL = re.compile(r"[a-zA-Z0-9._-]+", re.ASCII)

INTERNAL_TOPICS = frozenset({"__consumer_offsets", "__transaction_state", "__share_group_state"})


def problem_of(name: str) -> str | None:
    """What is wrong with a topic name, as the rest of a sentence; None when it is legal."""
    if not name:
        return "the empty string is not allowed"
    if name in (".", ".."):
        return f"'{name}' is not allowed"
    if len(name) > NAME_LENGTH_MAX:
        return f"the length of '{name}' is longer than the max allowed length {NAME_LENGTH_MAX}"
    if not _LEGAL.fullmatch(name):
        return (
            f"'{name}' contains one or more characters other than ASCII alphanumerics, "
            "'.', '_' and '-'"
        )
    return None


def refusal_of(name: str) -> str | None:
    """The whole sentence that refuses an illegal name; None when it is legal."""
    problem = problem_of(name)
    return None if problem is None else f"Topic name is invalid: {problem}"


def unified(name: str) -> str:
    """The name as metrics would show it: two names with the same one collide."""
    return name.replace(".", "_")


def is_internal(name: str) -> bool:
    """Whether the topic is one the server keeps its own state in."""
    return name in INTERNAL_TOPICS
