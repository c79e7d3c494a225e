"""What `logserver doctor` looks at: each check is a function that gives findings in plain words.

A finding is `ok`, a `warning` (it works, and may not tomorrow, or not for others) or a `problem`
(it does not work), with a sentence that says what is so and, where something should be done, one
that says what.
"""

import errno
import os
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from logserver.cli.client import reason_of
from logserver.cli.output import count, size

if TYPE_CHECKING:
    from logserver.client.admin import ClusterDescription
    from logserver.client.connection import Address

OK, WARNING, PROBLEM = "ok", "warning", "problem"
TIMEOUT_S = 3.0
# Some handful a partition, one a connection; systemd's default is 1024.
DESCRIPTORS_MIN = 4096
DESCRIPTORS_USED_MAX = 0.8
FREE_BYTES_MIN = 1_000_000_000
SLOW_SYNC_S = 0.1
SLOW_SHARE_MAX = 0.01
SYNCS_COUNT = 20
# ApiVersions v0, correlation id 0, no client id: what every Kafka server answers.
ASK_VERSIONS = bytes.fromhex("0000000a 0012 0000 00000000 ffff")
ANSWERS = {
    b"\x15\x03": ("speaks TLS", "Set security.protocol=SSL at the client, or use the plain port."),
    b"HTTP": ("speaks HTTP", "That is a web server's port; Kafka's is another (listeners)."),
    b"SSH-": ("speaks SSH", "That is not Kafka's port (listeners)."),
}
UNFIT = {
    "tmpfs": "it lies in memory and is gone with the next boot",
    "ramfs": "it lies in memory and is gone with the next boot",
    "nfs": "a network file system may lose locks and what was synced",
    "nfs4": "a network file system may lose locks and what was synced",
    "cifs": "a network file system may lose locks and what was synced",
    "overlay": "it lies in a container's own layer and is gone with the container",
}


class Check(NamedTuple):
    """One finding: what was looked at, how it is, and what to do."""

    name: str
    level: str
    sentence: str
    advice: str = ""


# The Kafka port


def kafka_port(bootstrap: str) -> "tuple[list[Check], ClusterDescription | None]":
    """Whether a Kafka server answers there, and which cluster it is."""
    from logserver.client import Admin, ClientError
    from logserver.client.connection import parse_bootstrap

    name = "kafka port"
    try:
        addresses = parse_bootstrap(bootstrap)
        for address in addresses:
            reason = unreachable_reason(address)
            if reason is not None:
                return [Check(name, PROBLEM, f"{address}: {reason[0]}", reason[1])], None
        with Admin(bootstrap, client_id="logserver-doctor", request_timeout_ms=3000) as admin:
            cluster = admin.describe_cluster()
    except ClientError as error:
        what, advice = foreign_answer(addresses[0]) if error.kind != "connect" else ("", "")
        return [Check(name, PROBLEM, what or str(error), advice)], None
    brokers = count(len(cluster.brokers), "broker")
    told = f"{bootstrap} answers: cluster {cluster.cluster_id}, {brokers}"
    return [Check(name, OK, told)], cluster


def unreachable_reason(address: "Address") -> tuple[str, str] | None:
    """Why no connection to an address can be made: what happened, and what to do."""
    try:
        socket.create_connection((address.host, address.port), TIMEOUT_S).close()
    except socket.gaierror:
        return "this name is not known here", "Check the name, or DNS and /etc/hosts."
    except TimeoutError:
        return "nothing answers", "A firewall may drop the packets, or the machine is down."
    except ConnectionRefusedError:
        return "nothing listens there", "Is the server running, and on this port (listeners)?"
    except OSError as error:
        if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
            return "there is no way to this network from here", "Check routes and VPN."
        return (error.strerror or str(error)).lower(), ""
    return None


def foreign_answer(address: "Address") -> tuple[str, str]:
    """What a server speaks that does not speak Kafka, by its answer to a Kafka request."""
    first = b""
    try:
        with socket.create_connection((address.host, address.port), TIMEOUT_S) as link:
            link.settimeout(TIMEOUT_S)
            link.sendall(ASK_VERSIONS)
            first = link.recv(8)
    except (ConnectionResetError, BrokenPipeError):
        pass  # closed before it had read the request
    except OSError:
        return f"{address} accepts connections, and does not answer a Kafka request", ""
    for prefix, (what, advice) in ANSWERS.items():
        if first.startswith(prefix):
            return f"{address} {what}, not Kafka", advice
    if not first:
        return (
            f"{address} closes the connection at once",
            "The server's log says why: too many connections, or its listener wants TLS.",
        )
    return "", ""


# What clients are told


def advertised(bootstrap: str, cluster: "ClusterDescription") -> list[Check]:
    """Whether the addresses that clients are told lead back to this cluster."""
    return [_advertised(bootstrap, cluster, address) for address in cluster.brokers.values()]


def _advertised(bootstrap: str, cluster: "ClusterDescription", address: "Address") -> Check:
    from logserver.client import Admin, ClientError
    from logserver.client.connection import parse_bootstrap

    name = "advertised address"
    advice = "Set advertised.listeners to an address that clients can reach."
    host = parse_bootstrap(bootstrap)[0].host
    if is_own_machine(address.host) and not is_own_machine(host):
        return Check(
            name,
            PROBLEM,
            f"clients are told {address}, which on their machine is themselves",
            advice,
        )
    reason = unreachable_reason(address)
    if reason is not None:
        sentence = f"clients are told {address}, which cannot be reached from here: {reason[0]}"
        return Check(name, PROBLEM, sentence, advice)
    try:
        with Admin(str(address), client_id="logserver-doctor", request_timeout_ms=3000) as admin:
            found = admin.describe_cluster().cluster_id
    except ClientError as error:
        return Check(name, PROBLEM, f"clients are told {address}: {error}", advice)
    if found != cluster.cluster_id:
        sentence = f"clients are told {address}, where another cluster answers ({found})"
        return Check(name, PROBLEM, sentence, advice)
    if is_own_machine(address.host):
        sentence = f"clients are told {address}; asked from this machine, it leads back"
        hint = "For others ask from theirs: logserver doctor --bootstrap SERVER:PORT."
        return Check(name, OK, sentence, hint)
    return Check(name, OK, f"clients are told {address}, and it leads back")


def is_own_machine(host: str) -> bool:
    """Whether a host means whoever asks: loopback, or no address at all."""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost" or not host
    return address.is_loopback or address.is_unspecified


# The server's inside


def server_figures(http: str) -> list[Check]:
    """What the server's own figures say: readiness, descriptors, disk, who knocked."""
    try:
        ready = _page(http, "/readyz")
        figures = parse_metrics(_page(http, "/metrics"))
    except (OSError, ValueError) as error:
        sentence = f"the server's figures cannot be read from http://{http}: {reason_of(error)}"
        return [Check("figures", WARNING, sentence, "Name its HTTP address with --http HOST:PORT.")]
    checks = [Check("ready", OK, "requests are served")]
    if ready.strip() != "ready":
        checks = [Check("ready", PROBLEM, line) for line in ready.splitlines()]
    return [*checks, _descriptors(figures), *_disk(figures), *_syncs(figures), *_knocks(figures)]


def _page(http: str, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://{http}{path}", timeout=TIMEOUT_S) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        if error.code != 503:
            raise
        return error.read().decode()


SAMPLE = re.compile(r"^([a-z_]+)(?:\{([^}]*)\})? (\S+)$", re.MULTILINE)


def parse_metrics(text: str) -> dict[str, float]:
    """Values by name, summed over labels; of a bucket `name:bound`. Raises ValueError."""
    values: dict[str, float] = {}
    for name, labels, value in SAMPLE.findall(text):
        bound = re.search(r'le="([^"]*)"', labels)
        key = f"{name}:{bound.group(1)}" if bound else name
        values[key] = values.get(key, 0) + float(value)
    if "logserver_ready" not in values:
        raise ValueError("it does not show the figures of a logserver")
    return values


def _descriptors(figures: dict[str, float]) -> Check:
    used, most = int(figures["process_open_fds"]), int(figures["process_max_fds"])
    sentence = f"{used:,} of {most:,} descriptors are used"
    advice = "Raise the limit: ulimit -n 65536, or LimitNOFILE=65536 in the service file."
    if used > most * DESCRIPTORS_USED_MAX:
        return Check("descriptors", PROBLEM, f"{sentence}: connections will be refused", advice)
    if most < DESCRIPTORS_MIN:
        return Check("descriptors", WARNING, sentence, advice)
    return Check("descriptors", OK, sentence)


def _disk(figures: dict[str, float]) -> Iterator[Check]:
    free = size(figures["logserver_disk_free_bytes"])
    if figures["logserver_log_directories_fenced"]:
        advice = "Look at the disk (dmesg, smartctl) before restarting."
        yield Check("disk", PROBLEM, "a sync failed: the directory is given up", advice)
    elif figures["logserver_disk_full"]:
        advice = "Make room: it mends itself within a second."
        yield Check("disk", PROBLEM, f"it is full ({free} free): records are refused", advice)
    elif figures["logserver_disk_free_bytes"] < FREE_BYTES_MIN:
        yield Check("disk", WARNING, f"{free} are free", "Make room, or shorten retention.")
    else:
        yield Check("disk", OK, f"{free} are free")
    quarantined = int(figures["logserver_partitions_quarantined"])
    if quarantined:
        sentence = f"{count(quarantined, 'partition')} under quarantine: damaged, read only"
        yield Check("disk", PROBLEM, sentence, "The log of the start says which and where.")


def _syncs(figures: dict[str, float]) -> Iterator[Check]:
    total = figures.get("logserver_sync_duration_seconds_count", 0)
    if not total:
        return
    mean_ms = 1000 * figures["logserver_sync_duration_seconds_sum"] / total
    bounds = [name for name in figures if name.startswith("logserver_sync_duration_seconds_bucket")]
    bounds = [name for name in bounds if 0 < _bound(name) <= SLOW_SYNC_S]
    fast = figures[max(bounds, key=_bound)] if bounds else total
    sentence = f"a sync takes {mean_ms:.2f} ms on average"
    if total - fast > total * SLOW_SHARE_MAX:
        slow = f"{count(int(total - fast), 'sync')} of {int(total):,} took longer than 0.1 s"
        advice = "Durable answers wait for the disk: another disk, or less on this one."
        yield Check("syncs", WARNING, f"{sentence}, {slow}", advice)
    else:
        yield Check("syncs", OK, sentence)


def _bound(name: str) -> float:
    return float(name.rpartition(":")[2])


def _knocks(figures: dict[str, float]) -> Iterator[Check]:
    breaches = int(figures["logserver_protocol_errors_total"])
    if breaches:
        sentence = f"{count(breaches, 'connection')} did not speak Kafka, or broke its rules"
        advice = (
            "The server's log names each and what it spoke: TLS, HTTP, a load balancer's check."
        )
        yield Check("other protocols", WARNING, sentence, advice)
    bugs = int(figures["logserver_internal_errors_total"])
    if bugs:
        sentence = f"the server met {count(bugs, 'bug')} of its own"
        yield Check("bugs", PROBLEM, sentence, "Please report what its log says.")


# A data directory on this machine


def data_directory(path: str) -> list[Check]:
    """Whether a directory is a good place for records: its file system, space, and syncs."""
    name = "data directory"
    if not os.path.isdir(path):
        return [Check(name, PROBLEM, f"{path} is not a directory", "Name the one of --data-dir.")]
    kind = file_system_of(path)
    checks = [Check(name, OK, f"{path} is on {kind or 'an unknown file system'}")]
    if kind in UNFIT:
        checks = [Check(name, WARNING, f"{path} is on {kind}: {UNFIT[kind]}", "Use a local disk.")]
    status = os.statvfs(path)
    free = status.f_bavail * status.f_frsize
    level, advice = (OK, "") if free >= FREE_BYTES_MIN else (WARNING, "Make room.")
    checks.append(Check("disk", level, f"{size(free)} are free", advice))
    return [*checks, _try_syncs(path)]


def _try_syncs(path: str) -> Check:
    from logserver.storage.files import RealFiles

    files = RealFiles()
    probe = f"{path}/doctor-{os.getpid()}.tmp"  # a name that every start removes
    try:
        file = files.open(probe, create=True)
        try:
            took = []
            for number in range(SYNCS_COUNT):
                file.pwrite(bytes(4096), number * 4096)
                began = time.monotonic()
                file.datasync()
                took.append(time.monotonic() - began)
        finally:
            file.close()
            files.unlink(probe)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        return Check("syncs", PROBLEM, f"nothing can be written to {path}: {reason}")
    median = sorted(took)[SYNCS_COUNT // 2]
    sentence = f"a sync takes {median * 1000:.2f} ms: what a durable answer waits at least"
    level = WARNING if median > SLOW_SYNC_S else OK
    return Check("syncs", level, sentence)


def file_system_of(path: str) -> str:
    """The type of the file system that a path lies on, empty where that is not known."""
    real = os.path.realpath(path)
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
            mounts = [line.split(" ")[1:3] for line in file]
    except OSError:
        return ""
    holders = [
        (point, kind)
        for point, kind in mounts
        if real == point or real.startswith(f"{point.rstrip('/')}/")
    ]
    return max(holders, key=lambda mount: len(mount[0]))[1] if holders else ""
