"""The loggers of this process, as BROKER_LOGGER resources (KIP-412): their levels, read and set.

A level that is set lasts until the process ends: it is nothing that the metadata log remembers.
Python's CRITICAL is Kafka's FATAL; TRACE is below DEBUG and logs nothing more.

Codes and sentences as Apache Kafka 4.3.1 gives them (kafka.utils.LoggingController,
ConfigAdminManager).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from logwire import errors
from logwire.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from logwire.messages import Message

ROOT = "root"
PREFIX = "logserver"
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3
_REFUSED_OPERATIONS = {APPEND: "APPEND", SUBTRACT: "SUBTRACT"}
LEVELS = {
    "DEBUG": logging.DEBUG,
    "ERROR": logging.ERROR,
    "FATAL": logging.CRITICAL,
    "INFO": logging.INFO,
    "TRACE": logging.DEBUG - 5,
    "WARN": logging.WARNING,
}


def logger_levels() -> dict[str, str]:
    """Every logger of ours and the root, with the level that it follows."""
    found = {ROOT: logging.getLogger()}
    for name, logger in sorted(logging.root.manager.loggerDict.items()):
        ours = name == PREFIX or name.startswith(f"{PREFIX}.")
        if ours and isinstance(logger, logging.Logger):
            found[name] = logger
    return {name: _name_of(logger.getEffectiveLevel()) for name, logger in found.items()}


def _name_of(level: int) -> str:
    """The name of the lowest level that passes."""
    passing = [(number, name) for name, number in LEVELS.items() if number >= level]
    return min(passing)[1] if passing else "FATAL"


def alter_loggers(configs: list[Message], *, validate_only: bool) -> None:
    """Set levels, or give loggers back the level of their parent. Raises Refusal: none is set."""
    known = logger_levels()
    changes = [_change(config, known) for config in configs]
    if not validate_only:
        for change in changes:
            change()


def _change(config: Message, known: dict[str, str]) -> Callable[[], None]:
    name, operation, level = config["name"], config["config_operation"], config["value"]
    if operation in _REFUSED_OPERATIONS:
        word = _REFUSED_OPERATIONS[operation]
        sentence = f"{word} operation is not allowed for the BROKER_LOGGER resource"
        raise Refusal(errors.INVALID_REQUEST, sentence)
    if operation not in (SET, DELETE):
        raise Refusal(errors.INVALID_REQUEST, f"Unknown operation {operation} for {name}")
    if operation == SET and level is None:
        raise Refusal(errors.INVALID_REQUEST, f"Null value not supported for : {name}")
    if name not in known:
        raise Refusal(errors.INVALID_CONFIG, f"Logger {name} does not exist!")
    if operation == DELETE:
        if name == ROOT:
            sentence = "Removing the log level of the root logger is not allowed"
            raise Refusal(errors.INVALID_REQUEST, sentence)
        return lambda: _logger(name).setLevel(logging.NOTSET)
    if level not in LEVELS:
        sentence = (
            f"Cannot set the log level of {name} to {level} as it is not a supported log level. "
            f"Valid log levels are {', '.join(LEVELS)}"
        )
        raise Refusal(errors.INVALID_CONFIG, sentence)
    return lambda: _logger(name).setLevel(LEVELS[level])


def _logger(name: str) -> logging.Logger:
    return logging.getLogger() if name == ROOT else logging.getLogger(name)
