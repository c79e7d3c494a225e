"""The group sessions that are driven for vectors."""

import pytest

from logwire.messages import APIS
from tests.logwire.test_vectors import GROUP_CLIENTS as RECORDED
from tools import vector_clients, vector_groups


def test_every_session_has_its_vectors_and_none_is_unknown() -> None:
    """Names of sessions are names of files, and no two are the same."""
    assert set(vector_groups.CLIENTS) == set(RECORDED)
    assert not set(vector_groups.CLIENTS) & set(vector_clients.CLIENTS)


def test_the_apis_that_are_kept_are_spoken_here() -> None:
    """The rest is recorded by the sessions without groups."""
    assert set(APIS) > vector_groups.KEYS


def test_the_java_clients_say_which_folder_they_need() -> None:
    """Their jars are not ours to find."""
    with pytest.raises(SystemExit, match="--kafka DIR"):
        vector_groups.CLIENTS["java-clients-groups"]("127.0.0.1:1", None)


def test_a_refusal_is_told_and_does_not_end_the_session(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is an exchange like any other."""

    def ask() -> None:
        raise RuntimeError("not empty")

    vector_groups.refused(ask)
    assert capsys.readouterr().out == "  refused: not empty\n"
