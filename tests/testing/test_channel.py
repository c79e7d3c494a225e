"""logserver.testing.channel: whole messages, descriptors along, and the end of the other side."""

from __future__ import annotations

import os

import pytest

from logserver.testing import channel


def test_a_message_arrives_whole_with_its_descriptors() -> None:
    """A packet is a message, however many are waiting."""
    ours, theirs = channel.make_pair()
    with ours, theirs:
        reading, writing = os.pipe()
        channel.send(ours, {"do": "start", "name": "ä" * 1000}, [writing])
        channel.send(ours, {"do": "wait"})
        message, (given,) = channel.receive(theirs)
        assert message == {"do": "start", "name": "ä" * 1000}
        os.write(given, b"x")
        assert os.read(reading, 1) == b"x"
        assert channel.receive(theirs) == ({"do": "wait"}, [])
        for descriptor in (reading, writing, given):
            os.close(descriptor)


def test_the_end_of_the_other_side_is_an_end_of_file() -> None:
    """Not an empty message, and not a wait for ever."""
    ours, theirs = channel.make_pair()
    with ours:
        theirs.close()
        with pytest.raises(EOFError):
            channel.receive(ours)


def test_silence_is_a_time_out() -> None:
    """As long as the socket says."""
    ours, theirs = channel.make_pair()
    with ours, theirs:
        ours.settimeout(0.01)
        with pytest.raises(TimeoutError):
            channel.receive(ours)
