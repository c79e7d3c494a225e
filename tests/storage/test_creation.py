"""Many partition directories at once: the same result as one by one, and as safe."""

from random import Random

import pytest

from logserver.config import TopicConfig
from logserver.storage import checkpoint
from logserver.storage.creation import make_directories
from logserver.storage.log import Log
from logserver.storage.simulated_files import MemoryFiles, RecordingFiles

IDS = {f"t-{index}": bytes([index]) * 16 for index in range(1, 6)}


def contents(files: MemoryFiles, name: str) -> dict[str, bytes]:
    """The files of a partition directory."""
    directory = f"/data/{name}"
    return {
        file: files.read_file(f"{directory}/{file}") for file in files.list_directory(directory)
    }


def opened(files: MemoryFiles, name: str) -> Log:
    """The log of a directory, made if it is not there."""
    return Log.open(files, f"/data/{name}", TopicConfig(), topic_id=IDS[name], now_ms=1)


@pytest.fixture
def files() -> RecordingFiles:
    """A disk with an empty data directory."""
    files = RecordingFiles()
    files.make_directory("/data")
    files.sync_directory("/")
    return files


def test_the_result_is_that_of_one_by_one(files: RecordingFiles) -> None:
    """Opening finds nothing left to do."""
    make_directories(files, "/data", IDS)
    apart = MemoryFiles()
    apart.make_directory("/data")
    for name in IDS:
        opened(apart, name).close()
        opened(files, name).close()
        assert contents(files, name) == contents(apart, name)


def test_an_existing_directory_is_left_alone(files: RecordingFiles) -> None:
    """It may hold records."""
    log = opened(files, "t-1")
    log.close()
    before = contents(files, "t-1")
    make_directories(files, "/data", IDS)
    assert contents(files, "t-1") == before


def test_everything_is_durable_on_return(files: RecordingFiles) -> None:
    """A power cut takes nothing back."""
    make_directories(files, "/data", IDS)
    assert files.pending_count() == 0
    cut = files.power_cut(Random(1))
    for name, topic_id in IDS.items():
        assert checkpoint.read_topic_id(cut, f"/data/{name}") == topic_id


class Interrupted(Exception):
    """The power goes here."""


class CountedFiles(RecordingFiles):
    """Stops at the n-th operation."""

    left = 0

    def count(self) -> None:
        """One more operation."""
        self.left -= 1
        if self.left < 0:
            raise Interrupted

    def make_directory(self, path: str) -> None:
        self.count()
        super().make_directory(path)

    def rename(self, source: str, target: str) -> None:
        self.count()
        super().rename(source, target)

    def sync_file_system(self, path: str) -> None:
        self.count()
        super().sync_file_system(path)


@pytest.mark.simulation
def test_after_a_power_cut_at_any_step_every_directory_can_be_opened() -> None:
    """No file has its name before its content."""
    random = Random(77)
    for steps in range(2 + 3 * len(IDS)):
        files = CountedFiles()
        files.left = 1
        files.make_directory("/data")
        files.sync_directory("/")
        files.left = steps
        with pytest.raises(Interrupted):
            make_directories(files, "/data", IDS)
        for _ in range(10):
            cut = files.power_cut(random)
            for name, topic_id in IDS.items():
                log = opened(cut, name)
                assert (log.topic_id, log.leader_epoch, log.end_offset) == (topic_id, 0, 0)
                log.close()
