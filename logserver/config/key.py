"""One configuration key: its name, type, default, bounds, unit and documentation.

Values arrive as text (a file, a command line, a CreateTopics request) and leave typed. Parsing and
the sentences of refusals follow Kafka's ConfigDef, because clients print them and scripts match
them: `Invalid value -5 for configuration num.partitions: Value must be at least 1`.

A check is a function from the typed value to None or to the rest of that sentence. Checks are made
by `at_least`, `between`, `one_of`..., so that a row of a table reads like the documentation.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

INT_MAX = 2**31 - 1
LONG_MAX = 2**63 - 1

Value = bool | int | float | str | tuple[str, ...] | None
Check = Callable[[Value], str | None]

# How DescribeConfigs numbers the types (Kafka's ConfigResponse.Type).
TYPE_CODES = {
    "boolean": 1,
    "string": 2,
    "int": 3,
    "short": 4,
    "long": 5,
    "double": 6,
    "list": 7,
    "password": 9,
}

_INTEGER_BOUNDS = {
    "short": (-(2**15), 2**15 - 1),
    "int": (-(2**31), INT_MAX),
    "long": (-(2**63), LONG_MAX),
}
# ASCII digits only: Python's int() would also take underscores and other scripts' digits.
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_DOUBLE = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)


class ConfigError(Exception):
    """A configuration that cannot be used; the text is one sentence for the person who wrote it."""


class BrokerDefaults(Protocol):
    """What topics and groups need of a BrokerConfig: typed values by key name."""

    @property
    def values(self) -> Mapping[str, Value]: ...


class Key(NamedTuple):
    """One row of a key table.

    `default` is typed; None means "not set" and only keys whose default is None may be unset.
    `unit` is bytes, ms, count... or "" where there is none. `dynamic`: may be altered while the
    server runs. `synonyms` (topic and group keys): the broker keys that give the default, first
    match wins, each with the factor to this key's unit (hours -> ms: 3600000).
    """

    name: str
    type: str
    default: Value
    unit: str
    doc: str
    check: Check | None = None
    dynamic: bool = False
    synonyms: tuple[tuple[str, int], ...] = ()

    @property
    def attribute(self) -> str:
        """The key as a Python attribute: `segment.bytes` -> `segment_bytes`."""
        return self.name.removeprefix("logserver.").replace(".", "_")

    def default_on(self, broker: BrokerDefaults) -> Value:
        """What the key is worth on this broker for a topic or a group that does not set it."""
        for synonym, factor in self.synonyms:
            value = broker.values.get(synonym)
            if value is not None:
                # A negative number means no limit, in hours as in ms.
                scaled = factor > 1 and isinstance(value, int) and value > 0
                return value * factor if scaled else value
        return self.default

    def parse(self, text: str) -> Value:
        """The typed, checked value of `text`; raises ConfigError in Kafka's words."""
        return self.checked(parse_value(self.name, self.type, text))

    def checked(self, value: Value) -> Value:
        """`value` unchanged when the row's check accepts it; raises ConfigError otherwise."""
        problem = self.check(value) if self.check is not None else None
        if problem is None or self.check is None:
            return value
        # Of a list, the sentence names the first item that is wrong by itself.
        items = [(item,) for item in value] if isinstance(value, tuple) else []
        shown = next((item for item in items if self.check(item) is not None), value)
        raise ConfigError(_invalid(self.name, shown, problem))


def synonym(broker_key: str) -> tuple[tuple[str, int], ...]:
    """The synonyms of a key that has one, in the same unit."""
    return ((broker_key, 1),)


def parse_value(name: str, type_name: str, text: str) -> Value:
    """Text to a value of the type (Kafka's ConfigDef.parseType); raises ConfigError."""
    trimmed = text.strip()
    if type_name in ("string", "password"):
        return trimmed
    if type_name == "list":
        return tuple(part.strip() for part in trimmed.split(",")) if trimmed else ()
    if type_name == "boolean":
        if trimmed.lower() not in ("true", "false"):
            problem = "Expected value to be either true or false"
            raise ConfigError(_invalid(name, trimmed, problem))
        return trimmed.lower() == "true"
    if type_name == "double":
        if _DOUBLE.fullmatch(trimmed):
            return float(trimmed)
    elif _INTEGER.fullmatch(trimmed) and len(trimmed) <= 20:
        low, high = _INTEGER_BOUNDS[type_name]
        if low <= int(trimmed) <= high:
            return int(trimmed)
    raise ConfigError(_invalid(name, trimmed, f"Not a number of type {type_name.upper()}"))


def format_value(value: Value) -> str | None:
    """A typed value as Kafka prints it (`true`, `a,b`); None stays None (not set)."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value)
    # Java writes 1.8E308.
    return str(value).replace("e+", "E") if isinstance(value, float) else str(value)


def at_least(low: float) -> Check:
    """The value is a number >= low, or not set."""

    def check(value: Value) -> str | None:
        return (
            f"Value must be at least {low}" if value is not None and _number(value) < low else None
        )

    return check


def between(low: float, high: float) -> Check:
    """The value is a number within [low, high]."""

    def check(value: Value) -> str | None:
        if _number(value) < low:
            return f"Value must be at least {low}"
        return f"Value must be no more than {high}" if _number(value) > high else None

    return check


def one_of(*names: str) -> Check:
    """The value, or each item of a list value, is one of the names."""

    def check(value: Value) -> str | None:
        items = value if isinstance(value, tuple) else (value,)
        if all(item in names for item in items):
            return None
        return f"String must be one of: {', '.join(names)}"

    return check


def not_empty(value: Value) -> str | None:
    """The value has at least one character or item."""
    return None if value else "Value must not be empty"


def _number(value: Value) -> float:
    assert isinstance(value, int | float), value
    return value


def _invalid(name: str, value: Value, problem: str) -> str:
    shown = value if isinstance(value, str) else format_value(value)
    return f"Invalid value {shown} for configuration {name}: {problem}"
