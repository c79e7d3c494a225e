"""Structured logs: one JSON object per line on standard error.

    {"time":"2026-01-31T12:00:00.123Z","level":"warning","logger":"logserver.server",
     "message":"connection closed: frame too large","peer":"127.0.0.1:50612","frame_bytes":12345}

What is passed as `extra={...}` becomes fields of the object. Text from peers can hold anything, so
everything but printable ASCII is escaped: a log line can neither be forged with a newline nor
steer the terminal that shows it.
"""

import json
import logging
import os
import time
from typing import Any

STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
STANDARD_ERROR = 2
TEXT_MAX = 4096
"""Longest text of one field. A client id may be 32 KB; the log keeps its beginning."""


def as_line(record: logging.LogRecord) -> str:
    """The record as one line of JSON without its newline."""
    seconds = int(record.created)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    entry: dict[str, Any] = {
        "time": f"{stamp}.{int(record.msecs):03d}Z",
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": _shortened(record.getMessage()),
    }
    for name, value in record.__dict__.items():
        if name not in STANDARD and name not in entry:
            entry[name] = _plain(value)
    if record.exc_info:
        entry["exception"] = logging.Formatter().formatException(record.exc_info)
    line = json.dumps(entry, ensure_ascii=True, separators=(",", ":"))
    return line.replace("\x7f", "\\u007f")


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return _shortened(str(value))


def _shortened(text: str) -> str:
    return text if len(text) <= TEXT_MAX else f"{text[:TEXT_MAX]}... ({len(text)} characters)"


class JournalHandler(logging.Handler):
    """Writes each record with one system call, so that lines of several writers do not mix."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line; a reader that went away must not stop the server."""
        try:
            os.write(STANDARD_ERROR, (as_line(record) + "\n").encode("ascii"))
        except OSError:
            return
        except (TypeError, ValueError):
            self.handleError(record)


def open_journal(level: int = logging.INFO) -> None:
    """Send all logs of the process to standard error as JSON lines."""
    root = logging.getLogger()
    root.handlers[:] = [JournalHandler()]
    root.setLevel(level)
    logging.captureWarnings(True)
