"""The simulator against a server that somebody else runs."""

import signal
import subprocess
import sys

from logserver.client import Admin
from tests.server_process import ROOT, ServerProcess

COMMAND = [sys.executable, "-m", "tools.telemetry", "--devices", "10", "--rate", "500"]


def test_it_makes_its_topic_and_delivers_all_of_its_schedule(server: ServerProcess) -> None:
    """Half a second at 500 a second, twice: the second time the topic is there already."""
    for total in (250, 500):
        done = subprocess.run(
            [*COMMAND, "--bootstrap", server.bootstrap, "--seconds", "0.5"],
            cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert "250 of 250 records delivered to telemetry" in done.stdout
        with Admin(server.bootstrap) as admin:
            ends = admin.offsets("telemetry", "end")
        assert sum(end.offset for end in ends.values()) == total


def test_a_stop_delivers_what_was_sent(server: ServerProcess) -> None:
    """SIGTERM while streaming, as a container gets it: exit code 0, nothing left behind."""
    command = [*COMMAND, "--bootstrap", server.bootstrap]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as process:  # fmt: skip
        with Admin(server.bootstrap) as admin:
            while not any(topic.name == "telemetry" for topic in admin.list_topics()):
                assert process.poll() is None
            while not any(end.offset for end in admin.offsets("telemetry", "end").values()):
                assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        told, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    delivered, _, sent = told.split()[:3]
    assert sent == delivered


def test_a_server_that_is_not_there_is_one_sentence() -> None:
    """Exit code 1, no stack trace."""
    done = subprocess.run([*COMMAND, "--bootstrap", "127.0.0.1:1"], cwd=ROOT, capture_output=True,
                          text=True, timeout=30, check=False)  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("telemetry: ")
    assert done.stderr.count("\n") == 1
