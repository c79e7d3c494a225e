"""What this host says about itself: five kinds of sample, read from /proc.

    cpu        shares of all processors in percent, load average
    memory     total, available, cached, dirty
    disk       reads, writes and bytes a second, all whole disks together
    network    bytes and packets a second, all interfaces but loopback
    processes  how many, how many want to run, switches and starts a second

/proc counts since boot; a rate is the difference of two readings, so the first sample has rates of
zero. A sample is a dict of plain numbers, ready for JSON.
Source: proc(5); Documentation/admin-guide/iostats.rst (a sector is 512 bytes on every disk).
"""

import time
from collections.abc import Callable
from pathlib import Path

KINDS = ("cpu", "memory", "disk", "network", "processes")
SECTOR_BYTES = 512
PRIMARY = {
    "cpu": "busy_percent",
    "memory": "available_mb",
    "disk": "write_mb_per_s",
    "network": "received_mb_per_s",
    "processes": "switches_per_s",
}
"""The number of each kind that a device shows on its dial."""

Sample = dict[str, float]


class NoProc(Exception):
    """This is not Linux, or /proc is not mounted."""


class Host:
    """Reads /proc; `root` stands for /proc and `clock` for monotonic seconds."""

    def __init__(
        self, root: Path = Path("/proc"), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._root = root
        self._clock = clock
        self._counters: dict[str, float] = {}
        self._read_at = 0.0
        if not (root / "stat").exists():
            raise NoProc(f"no {root}/stat: telemetry is read from Linux's /proc")

    def sample(self) -> dict[str, Sample]:
        """One sample of every kind, by kind; rates are since the last call."""
        now = self._clock()
        counters = self._read_counters()
        elapsed = now - self._read_at
        before = self._counters or counters
        self._counters, self._read_at = counters, now

        def rate(name: str, scale: float = 1.0) -> float:
            change = counters[name] - before.get(name, counters[name])
            return round(max(0.0, change) / elapsed / scale, 3)

        return {
            "cpu": self._cpu(counters, before),
            "memory": self._memory(),
            "disk": {
                "reads_per_s": rate("reads"),
                "writes_per_s": rate("writes"),
                "read_mb_per_s": rate("read_bytes", 1e6),
                "write_mb_per_s": rate("written_bytes", 1e6),
            },
            "network": {
                "received_mb_per_s": rate("received_bytes", 1e6),
                "sent_mb_per_s": rate("sent_bytes", 1e6),
                "received_packets_per_s": rate("received_packets"),
                "sent_packets_per_s": rate("sent_packets"),
            },
            "processes": {
                "count": self._process_count(),
                "running": counters["running"],
                "switches_per_s": rate("switches"),
                "starts_per_s": rate("starts"),
            },
        }

    def _lines(self, name: str) -> list[list[str]]:
        path = self._root / name
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def _read_counters(self) -> dict[str, float]:
        found = dict.fromkeys(
            ("reads", "writes", "read_bytes", "written_bytes", "received_bytes", "sent_bytes",
             "received_packets", "sent_packets", "switches", "starts", "running"), 0.0,
        )  # fmt: skip
        for row in self._lines("stat"):
            if row[0] == "cpu":
                names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
                found |= {name: float(value) for name, value in zip(names, row[1:9], strict=True)}
            elif row[0] in ("ctxt", "processes", "procs_running"):
                key = {"ctxt": "switches", "processes": "starts", "procs_running": "running"}
                found[key[row[0]]] = float(row[1])
        for row in self._lines("diskstats"):
            if is_whole_disk(row[2]):
                found["reads"] += float(row[3])
                found["read_bytes"] += float(row[5]) * SECTOR_BYTES
                found["writes"] += float(row[7])
                found["written_bytes"] += float(row[9]) * SECTOR_BYTES
        for row in self._lines("net/dev")[2:]:
            if row[0] != "lo:":
                found["received_bytes"] += float(row[1])
                found["received_packets"] += float(row[2])
                found["sent_bytes"] += float(row[9])
                found["sent_packets"] += float(row[10])
        return found

    def _cpu(self, now: dict[str, float], before: dict[str, float]) -> Sample:
        names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
        change = {name: now[name] - before[name] for name in names}
        total = sum(change.values()) or 1.0
        load = self._lines("loadavg")
        return {
            "busy_percent": round(100 - (change["idle"] + change["iowait"]) / total * 100, 2)
            if any(change.values())
            else 0.0,
            "user_percent": round((change["user"] + change["nice"]) / total * 100, 2),
            "system_percent": round(change["system"] / total * 100, 2),
            "waiting_percent": round(change["iowait"] / total * 100, 2),
            "load": float(load[0][0]) if load else 0.0,
        }

    def _memory(self) -> Sample:
        rows = {row[0]: int(row[1]) for row in self._lines("meminfo")}

        def mb(key: str) -> float:
            return round(rows.get(key, 0) * 1024 / 1e6, 1)

        return {
            "total_mb": mb("MemTotal:"),
            "available_mb": mb("MemAvailable:"),
            "cached_mb": mb("Cached:"),
            "dirty_mb": mb("Dirty:"),
        }

    def _process_count(self) -> float:
        return float(sum(path.name.isdigit() for path in self._root.iterdir()))


def is_whole_disk(name: str) -> bool:
    """Whether a line of /proc/diskstats is a disk, not a part of one, a loop or memory."""
    if name.startswith(("loop", "ram", "zram", "dm-", "sr", "fd")):
        return False
    if name.startswith(("nvme", "mmcblk")):
        return "p" not in name.removeprefix("nvme").removeprefix("mmcblk")
    return not name[-1].isdigit()
