"""The loggers of this process as resources."""

import logging
from collections.abc import Iterator

import pytest

from logserver.broker.broker_loggers import alter_loggers, logger_levels
from logwire import errors
from logwire.errors import Refusal
from logwire.messages import Message

SET, DELETE, APPEND, SUBTRACT = range(4)
NAME = "logserver.tests.loggers"


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger of ours that follows its parent, and does so again afterwards."""
    logger = logging.getLogger(NAME)
    root_level = logging.getLogger().level
    yield logger
    logger.setLevel(logging.NOTSET)
    logging.getLogger().setLevel(root_level)


def change(name: str, operation: int, level: str | None) -> Message:
    """One config of a request."""
    return {"name": name, "config_operation": operation, "value": level}


def test_a_level_is_set_and_given_back(logger: logging.Logger) -> None:
    """DELETE lets a logger follow its parent again."""
    inherited = logger_levels()[NAME]
    alter_loggers([change(NAME, SET, "FATAL")], validate_only=False)
    assert (logger.level, logger_levels()[NAME]) == (logging.CRITICAL, "FATAL")
    alter_loggers([change(NAME, DELETE, None)], validate_only=False)
    assert (logger.level, logger_levels()[NAME]) == (logging.NOTSET, inherited)


@pytest.mark.parametrize("level", ["DEBUG", "ERROR", "FATAL", "INFO", "TRACE", "WARN"])
def test_kafkas_levels_are_told_as_they_were_set(logger: logging.Logger, level: str) -> None:
    """Each has a number of its own, the root included."""
    alter_loggers([change("root", SET, level)], validate_only=False)
    assert logger_levels()["root"] == level == logger_levels()[logger.name]


def test_a_level_between_two_is_told_as_the_higher(logger: logging.Logger) -> None:
    """It is the first that passes."""
    logger.setLevel(logging.INFO + 1)
    assert logger_levels()[NAME] == "WARN"
    logger.setLevel(logging.CRITICAL + 1)
    assert logger_levels()[NAME] == "FATAL"


def test_loggers_of_others_are_not_shown() -> None:
    """Libraries log through the root."""
    logging.getLogger("somebody.else")
    names = set(logger_levels())
    assert "root" in names
    assert all(name == "root" or name.split(".")[0] == "logserver" for name in names)


@pytest.mark.parametrize(
    ("wanted", "code", "sentence"),
    [
        (change(NAME, SET, "LOUD"), 40, "it is not a supported log level. Valid log levels are DE"),
        (change(NAME, SET, "info"), 40, f"Cannot set the log level of {NAME} to info as it is not"),
        (change(NAME, SET, None), 42, f"Null value not supported for : {NAME}"),
        (change("no.such", SET, "INFO"), 40, "Logger no.such does not exist!"),
        (change("no.such", DELETE, None), 40, "Logger no.such does not exist!"),
        (change("root", DELETE, None), 42, "Removing the log level of the root logger is not"),
        (change(NAME, APPEND, "INFO"), 42, "APPEND operation is not allowed for the BROKER_LOGGER"),
        (change(NAME, SUBTRACT, "INFO"), 42, "SUBTRACT operation is not allowed for the BROKER_LO"),
        (change(NAME, 9, "INFO"), errors.INVALID_REQUEST, "Unknown operation 9"),
    ],
)
def test_a_refused_change_leaves_every_level(
    logger: logging.Logger, wanted: Message, code: int, sentence: str
) -> None:
    """Also that of the change beside it, which was right."""
    with pytest.raises(Refusal) as caught:
        alter_loggers([change(NAME, SET, "ERROR"), wanted], validate_only=False)
    assert caught.value.code == code
    assert sentence in caught.value.message
    assert logger.level == logging.NOTSET


def test_validation_alone_sets_nothing(logger: logging.Logger) -> None:
    """Right and wrong are told, and that is all."""
    alter_loggers([change(NAME, SET, "ERROR")], validate_only=True)
    assert logger.level == logging.NOTSET
