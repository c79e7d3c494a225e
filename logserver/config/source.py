"""Configuration files as text: Java properties (Kafka's server.properties) and TOML.

Both become one flat dictionary of text, `{"log.segment.bytes": "104857600"}`, so that a file, the
command line and a request are read by the same rows. The caller reads the file: this module takes
its text and its name, which decides the format (`.toml`, everything else is properties).
"""

import re
import tomllib
from typing import Any

from logserver.config.key import ConfigError

# The first unescaped separator: white space, '=' or ':' (java.util.Properties).
_SEPARATOR = re.compile(r"(?<!\\)(?:\\\\)*[ \t\f]*[=: \t\f][ \t\f]*")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


def parse_text(text: str, name: str) -> dict[str, str]:
    """The keys of a configuration file; raises ConfigError that names the file."""
    return parse_toml(text, name) if name.lower().endswith(".toml") else parse_properties(text)


def parse_properties(text: str) -> dict[str, str]:
    """Java properties: comments (# !), continued lines, escapes; the last of equal keys wins."""
    found: dict[str, str] = {}
    for line in _logical_lines(text):
        match = _SEPARATOR.search(line)
        if match is None:
            found[_unescape(line)] = ""
            continue
        # Backslash pairs before the separator belong to the key.
        pairs = len(match.group()) - len(match.group().lstrip("\\"))
        found[_unescape(line[: match.start() + pairs])] = _unescape(line[match.end() :])
    return found


def parse_toml(text: str, name: str) -> dict[str, str]:
    """TOML: tables and dotted keys are joined by dots; lists become comma-separated text."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"cannot read {name}: {error}") from None
    found: dict[str, str] = {}
    _flatten(tree, "", found, name)
    return found


def _logical_lines(text: str) -> list[str]:
    lines: list[str] = []
    pending: str | None = None
    for raw in text.splitlines():
        line = raw.lstrip(" \t\f")
        if pending is None and (not line or line[0] in "#!"):
            continue
        line = (pending or "") + line
        backslashes = len(line) - len(line.rstrip("\\"))
        if backslashes % 2:
            pending = line[:-1]
        else:
            lines.append(line)
            pending = None
    if pending:
        lines.append(pending)
    return lines


def _unescape(text: str) -> str:
    def replace(match: re.Match[str]) -> str:
        escape = match.group(1)
        return chr(int(escape[1:], 16)) if len(escape) == 5 else _ESCAPES.get(escape, escape)

    return _ESCAPE.sub(replace, text)


def _flatten(tree: dict[str, Any], prefix: str, found: dict[str, str], name: str) -> None:
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict):
            _flatten(value, f"{path}.", found, name)
        elif isinstance(value, list):
            found[path] = ",".join(_scalar(item, path, name) for item in value)
        else:
            found[path] = _scalar(value, path, name)


def _scalar(value: object, path: str, name: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise ConfigError(f"cannot read {name}: {path} is neither text nor a number, boolean or list")
