"""logserver.statistics.runtime: the place of the memory files is ours alone and leaves no trace."""

import os
from pathlib import Path

import pytest

from logserver.statistics import PageWriter, RuntimeDirectory
from logserver.statistics.runtime import OWN_PREFIX, is_abandoned, sweep


def test_the_default_place_follows_from_the_data_directory(tmp_path: Path) -> None:
    """The same for every spelling of one directory, another for another."""
    (tmp_path / "data").mkdir()
    plain = RuntimeDirectory.default_for(str(tmp_path / "data")).path
    dotted = RuntimeDirectory.default_for(str(tmp_path / "data" / ".." / "data")).path
    other = RuntimeDirectory.default_for(str(tmp_path / "other")).path
    assert plain == dotted != other
    assert f"logserver-{os.getuid()}-" in plain


def test_opening_twice_is_fine_and_removing_leaves_nothing(tmp_path: Path) -> None:
    """A restart after kill -9 finds the old directory."""
    runtime = RuntimeDirectory(str(tmp_path / "run"))
    runtime.open()
    runtime.open()
    PageWriter(runtime.page_path, generation=1, pid=1).close()
    runtime.remove()
    assert not os.path.exists(runtime.path)
    runtime.remove()


def test_the_directory_is_closed_to_others(tmp_path: Path) -> None:
    """Counters tell who does what."""
    runtime = RuntimeDirectory(str(tmp_path / "run"))
    runtime.open()
    assert os.stat(runtime.path).st_mode & 0o077 == 0


def test_a_link_in_its_place_is_refused(tmp_path: Path) -> None:
    """Whoever made the link would choose where we write."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="choose another --runtime-dir"):
        RuntimeDirectory(str(tmp_path / "run")).open()


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    """Only what we made is removed."""
    runtime = RuntimeDirectory(str(tmp_path / "run"))
    runtime.open()
    (tmp_path / "run" / "notes").write_text("mine")
    runtime.remove()
    assert (tmp_path / "run" / "notes").read_text() == "mine"


def test_a_start_sweeps_away_what_killed_servers_left(tmp_path: Path) -> None:
    """/dev/shm is memory; a page that nobody has mapped is nobody's."""
    living, dead = (RuntimeDirectory(str(tmp_path / f"{OWN_PREFIX}{n}")) for n in ("a", "b"))
    dead.open()
    (tmp_path / f"{OWN_PREFIX}b" / "statistics").write_bytes(b"left by a killed server")
    living.open()
    page = PageWriter(living.page_path, generation=1, pid=1)
    (tmp_path / "logserver-other-user").mkdir()
    newcomer = RuntimeDirectory(str(tmp_path / f"{OWN_PREFIX}c"))
    newcomer.open()
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [f"{OWN_PREFIX}a", f"{OWN_PREFIX}c", "logserver-other-user"]
    assert not is_abandoned(living.page_path)
    page.close()
    assert is_abandoned(living.page_path)


def test_a_directory_that_is_just_being_made_is_not_swept(tmp_path: Path) -> None:
    """Its page is not there yet."""
    fresh = RuntimeDirectory(str(tmp_path / f"{OWN_PREFIX}a"))
    fresh.open()
    assert sweep(str(tmp_path), keep="") == 0


def test_a_file_in_place_of_the_directory_is_a_sentence(tmp_path: Path) -> None:
    """With what to do."""
    (tmp_path / "run").write_text("mine")
    with pytest.raises(PermissionError, match="is not a directory"):
        RuntimeDirectory(str(tmp_path / "run")).open()


def test_the_files_of_a_living_successor_are_left_alone(tmp_path: Path) -> None:
    """Two servers can come to share the place when a data directory was deleted under one."""
    runtime = RuntimeDirectory(str(tmp_path / "run"))
    runtime.open()
    first = PageWriter(runtime.page_path, generation=1, pid=1)
    second = PageWriter(runtime.page_path, generation=2, pid=2)
    first.close()
    runtime.remove()
    assert os.path.exists(runtime.page_path)
    second.close()
    runtime.remove()
    assert not os.path.exists(runtime.path)
