"""The clients that are driven for vectors: each is known, and each needs what it says it needs."""

import pytest

from tests.logwire.test_vectors import CLIENTS as RECORDED
from tools import vector_clients


def test_every_client_that_can_be_driven_has_its_vectors_and_none_is_unknown() -> None:
    """Names of sessions are names of files."""
    assert set(vector_clients.CLIENTS) == set(RECORDED)


@pytest.mark.parametrize("name", ["java", "java-clients"])
def test_the_java_clients_say_which_folder_they_need(name: str) -> None:
    """Their jars are not ours to find."""
    with pytest.raises(SystemExit, match="--kafka DIR"):
        vector_clients.CLIENTS[name]("127.0.0.1:1", None)


def test_a_command_that_fails_is_reported_and_does_not_stop_the_session(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A broken call of one client must not lose the vectors of the rest."""
    assert vector_clients.run("sh", "-c", "echo out; echo err >&2; exit 3") == "out\nerr\n"
    assert "exit 3" in capsys.readouterr().out
    assert vector_clients.run("cat", stdin="lines") == "lines"
