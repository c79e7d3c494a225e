"""Samples are differences of what /proc counts."""

from pathlib import Path

import pytest

from tools.telemetry.host import KINDS, PRIMARY, Host, NoProc, is_whole_disk

STAT = "cpu  {user} 0 50 {idle} 10 0 0 0 0 0\nctxt {switches}\nprocesses 7\nprocs_running 2\n"
DISKS = "254 0 vda {reads} 0 {sectors} 0 5 0 80 0 0 0 0\n254 1 vda1 9 9 9 9 9 9 9 9 9 9 9\n"
NETWORK = (
    "Inter-| Receive\n face |bytes\n  lo: 9 9 0 0 0 0 0 0 9 9 0\neth0: {rx} 4 0 0 0 0 0 0 6 2 0\n"
)
MEMORY = "MemTotal: 2000000 kB\nMemAvailable: 1000000 kB\nCached: 500 kB\nDirty: 20 kB\n"


def write(root: Path, **values: int) -> None:
    """A /proc with these counters."""
    texts = {"stat": STAT, "diskstats": DISKS, "net/dev": NETWORK, "meminfo": MEMORY}
    for name, text in (texts | {"loadavg": "0.42 0 0 1/9 1\n"}).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format_map(values))
    (root / "4242").mkdir(exist_ok=True)


BEFORE = {"user": 100, "idle": 840, "switches": 1000, "reads": 10, "sectors": 100, "rx": 0}
AFTER = {"user": 150, "idle": 890, "switches": 3000, "reads": 30, "sectors": 2100, "rx": 4_000_000}


def test_rates_are_differences_over_the_time_between(tmp_path: Path) -> None:
    """Two seconds lie between the readings."""
    times = iter([10.0, 12.0])
    write(tmp_path, **BEFORE)
    host = Host(tmp_path, lambda: next(times))
    host.sample()
    write(tmp_path, **AFTER)
    sample = host.sample()
    assert sample["cpu"]["busy_percent"] == 50
    assert sample["cpu"]["load"] == 0.42
    assert sample["processes"]["switches_per_s"] == 1000
    assert sample["processes"]["count"] == 1
    assert sample["disk"]["reads_per_s"] == 10
    assert sample["disk"]["read_mb_per_s"] == pytest.approx(2000 * 512 / 2 / 1e6)
    assert sample["network"]["received_mb_per_s"] == 2
    assert sample["memory"]["available_mb"] == 1024


def test_the_first_sample_has_no_rates_yet(tmp_path: Path) -> None:
    """Counters since boot are no rates."""
    write(tmp_path, **BEFORE)
    sample = Host(tmp_path, lambda: 5.0).sample()
    assert sample["disk"]["reads_per_s"] == sample["cpu"]["busy_percent"] == 0


def test_every_kind_has_its_dial() -> None:
    """The number a device shows is one of its kind's sample, on this real host too."""
    sample = Host().sample()
    assert tuple(sample) == KINDS
    assert all(PRIMARY[kind] in sample[kind] for kind in KINDS)


def test_without_proc_one_sentence_says_so(tmp_path: Path) -> None:
    """Not a stack trace about a missing file."""
    with pytest.raises(NoProc, match="Linux"):
        Host(tmp_path)


@pytest.mark.parametrize(
    ("name", "whole"),
    [("vda", True), ("vda1", False), ("nvme0n1", True), ("nvme0n1p2", False), ("loop0", False),
     ("mmcblk0", True), ("mmcblk0p1", False), ("sda", True), ("dm-0", False)],
)  # fmt: skip
def test_partitions_are_not_counted_beside_their_disk(name: str, whole: bool) -> None:
    """Otherwise every byte would count twice."""
    assert is_whole_disk(name) is whole
