"""What the machine says about itself: CPU of processes and of all, steal, memory, the header.

CPU of a server is user plus system time of all its processes and all their threads, ended ones
included: fields 14 and 15 of /proc/PID/stat (the kernel scales them to the scheduler's exact run
time; 10 ms ticks). On loopback a sender runs the receiver's TCP work, and write-back runs in kernel
threads, so the whole machine stands beside the server. "Foreign" is what is left of the machine's
busy time after server, generator and kernel threads: if it is not near zero, the run measured
somebody else. (Summing up the other processes would miss those that ended meanwhile.)

Memory is RssAnon: mapped segments are page cache and would make any log server look huge.
Source: proc(5), Documentation/filesystems/proc.rst.
"""

import datetime as dt
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import NamedTuple

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
CPU_COUNT = os.cpu_count() or 1
KERNEL_THREAD = 0x00200000  # PF_KTHREAD in the flags of /proc/PID/stat


def stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on (state); [] if the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def process_ids() -> list[int]:
    """All processes."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def tree(root: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for pid in process_ids():
        fields = stat_fields(pid)
        if fields:
            children.setdefault(int(fields[1]), []).append(pid)
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def cpu_s(pids: Iterable[int]) -> float:
    """User and system seconds of these processes so far, and of their children that have ended."""
    rows = [stat_fields(pid) for pid in pids]
    return sum(sum(map(int, row[11:15])) * TICK_S for row in rows if row)


def kernel_threads_cpu_s() -> float:
    """Seconds of all kernel threads so far: write-back, journal, network in the background."""
    rows = [stat_fields(pid) for pid in process_ids()]
    rows = [row for row in rows if row and int(row[6]) & KERNEL_THREAD]
    return sum((int(row[11]) + int(row[12])) * TICK_S for row in rows)


def anonymous_bytes(pids: Iterable[int]) -> int:
    """RssAnon summed over processes."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            for line in file:
                if line.startswith("RssAnon:"):
                    total += int(line.split()[1]) * 1024
    return total


class Machine(NamedTuple):
    """Seconds of all CPUs since boot."""

    busy_s: float
    steal_s: float
    time_s: float

    @classmethod
    def now(cls) -> "Machine":
        """Read /proc/stat."""
        with open("/proc/stat", encoding="utf-8") as file:
            values = [int(value) * TICK_S for value in file.readline().split()[1:]]
        user, nice, system, _, _, irq, softirq, steal = values[:8]
        return cls(user + nice + system + irq + softirq, steal, time.monotonic())


class Sample(NamedTuple):
    """CPU counters at one instant."""

    machine: Machine
    server_s: float
    generator_s: float
    kernel_threads_s: float


def sample(server_pids: list[int]) -> Sample:
    """Read the counters of the machine, the server and this process (the generator)."""
    own = os.times()
    return Sample(Machine.now(), cpu_s(server_pids), own.user + own.system, kernel_threads_cpu_s())


def usage(before: Sample, after: Sample) -> dict[str, float]:
    """What happened between two samples, in seconds and in percent of one CPU."""
    elapsed = after.machine.time_s - before.machine.time_s
    server = after.server_s - before.server_s
    generator = after.generator_s - before.generator_s
    kernel = after.kernel_threads_s - before.kernel_threads_s
    busy = after.machine.busy_s - before.machine.busy_s
    foreign = busy - server - generator - kernel
    steal = after.machine.steal_s - before.machine.steal_s
    return {
        "elapsed_s": elapsed,
        "server_cpu_s": server,
        "generator_cpu_s": generator,
        "machine_cpu_s": busy,
        "foreign_cpu_percent": max(0.0, foreign / elapsed * 100),
        "steal_percent": steal / elapsed / CPU_COUNT * 100,
    }


def busy_percent(seconds: float = 0.2) -> float:
    """How busy the machine is right now, in percent of one CPU."""
    before = Machine.now()
    time.sleep(seconds)
    after = Machine.now()
    return (after.busy_s - before.busy_s) / (after.time_s - before.time_s) * 100


def settle() -> None:
    """Write back, and free the page cache where this user may.

    Otherwise whoever runs second pays for the dirty pages of the first, and for memory that a
    virtual machine touches for the first time.
    """
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
            file.write("1")
    except OSError:
        return


def jitter_us(seconds: float = 0.5) -> dict[str, float]:
    """Gaps longer than 5 us that a spinning process sees: the floor under every P99 here."""
    gaps, clock = [], time.perf_counter_ns
    start = last = clock()
    while last - start < seconds * 1e9:
        now = clock()
        if now - last > 5_000:
            gaps.append((now - last) / 1e3)
        last = now
    gaps.sort()
    share = sum(gaps) / (seconds * 1e6) * 100
    middle = gaps[len(gaps) // 2] if gaps else 0.0
    return {
        "gaps_per_s": len(gaps) / seconds,
        "p50_us": middle,
        "max_us": gaps[-1] if gaps else 0.0,
        "share_percent": share,
    }


def line_of(path: str, key: str) -> str:
    """The value of the first line `key : value` of a /proc file."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith(key):
                return line.partition(":")[2].strip()
    return "unknown"


def file_system(path: str) -> str:
    """Type and mount options of the file system that holds `path`, without device or place."""
    best, found = "", "unknown"
    real = os.path.realpath(path)
    with open("/proc/self/mounts", encoding="utf-8") as file:
        for line in file:
            _, place, kind, options, *_ = line.split()
            inside = real == place or real.startswith(place.rstrip("/") + "/")
            if inside and len(place) >= len(best):
                best, found = place, f"{kind} ({options})"
    return found


def header(work_directory: str) -> dict[str, object]:
    """Machine, kernel, file system and versions; nothing that names a person or a place."""
    memory_kib = int(line_of("/proc/meminfo", "MemTotal").split()[0])
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "cpu": line_of("/proc/cpuinfo", "model name"),
        "cpu_count": CPU_COUNT,
        "memory_gb": round(memory_kib * 1024 / 1e9, 1),
        "kernel": platform.release(),
        "file_system": file_system(work_directory),
        # With its build: one without profile-guided optimization is 7 to 30 % slower.
        "python": " ".join(sys.version.split()),
        "may_free_page_cache": os.access("/proc/sys/vm/drop_caches", os.W_OK),
        "load_before": round(os.getloadavg()[0], 2),
        "jitter": {key: round(value, 2) for key, value in jitter_us().items()},
    }


def commit(name: str = "HEAD") -> str:
    """The short hash of a commit, with `-dirty` when HEAD's tree was changed."""
    git = ["git", "rev-parse", "--short=9", name]
    found = subprocess.run(git, capture_output=True, text=True, check=False)
    if found.returncode:
        return "unknown"
    git = ["git", "status", "--porcelain", "--untracked-files=no"]
    changed = subprocess.run(git, capture_output=True, text=True, check=False).stdout
    dirty = "-dirty" if name == "HEAD" and changed.strip() else ""
    return found.stdout.strip() + dirty
