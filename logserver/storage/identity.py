"""Whose log directory this is: `meta.properties`, in Kafka's style and with one line of ours.

    version=1
    cluster.id=8Zt5yQKcTlmCB1yKKHYPlQ
    node.id=1
    directory.id=sVJn1tDWQUKuOkrwE0LM8Q
    logserver.format.version=2

Written when the directory is made, and again by the first server that knows a newer format than the
file names. A directory of another node, of a newer format, or one that something else filled is
refused before a byte of it is touched.

    format 1   every offset of a log has its record: a gap is damage
    format 2   compaction: gaps below `sparse-below`, and `.swap` files that a start has to complete
"""

from __future__ import annotations

from collections.abc import Collection
from random import Random
from typing import Final, NamedTuple

from .checkpoint import CheckpointError, format_uuid, new_uuid, parse_uuid
from .failure import Kind, StorageError
from .files import Files
from .mark import MARK_FILE, Mark

IDENTITY_FILE: Final = "meta.properties"
META_VERSION: Final = 1  # Kafka's MetaPropertiesVersion.V1
FORMAT_VERSION: Final = 2  # raised when an older server must not open what we write
FORMAT_KEY: Final = "logserver.format.version"
ADVICE: Final = "Choose another --data-dir."


class Identity(NamedTuple):
    """The cluster, the node and the directory, as Kafka names them, and the format on the disk."""

    cluster_id: str
    node_id: int
    directory_id: bytes
    format_version: int = FORMAT_VERSION


def read_identity(files: Files, path: str) -> Identity | None:
    """The identity of a log directory, None where there is none yet.

    Raises StorageError: FORMAT for a newer one, IDENTITY for one that is not ours to read.
    """
    try:
        data = files.read_file(f"{path}/{IDENTITY_FILE}")
    except FileNotFoundError:
        return None
    lines = data.decode("utf-8", "replace").split("\n")
    fields = dict(line.strip().split("=", 1) for line in lines if "=" in line)
    version = _number(fields.get(FORMAT_KEY, ""))
    if version is None:
        raise StorageError(
            Kind.IDENTITY,
            f"cannot open data dir {path}: its {IDENTITY_FILE} has no {FORMAT_KEY}, so it was not "
            f"written by logserver. {ADVICE}",
        )
    if version > FORMAT_VERSION:
        raise StorageError(
            Kind.FORMAT,
            f"cannot open data dir {path}: it has on-disk format {version}, this logserver reads "
            f"up to {FORMAT_VERSION}. Upgrade logserver or choose another --data-dir.",
        )
    node_id = _number(fields.get("node.id", ""))
    cluster_id = fields.get("cluster.id", "")
    try:
        directory_id = parse_uuid(fields.get("directory.id", ""))
    except CheckpointError:
        directory_id = b""
    if node_id is None or not cluster_id or not directory_id:
        raise StorageError(
            Kind.IDENTITY,
            f"cannot open data dir {path}: its {IDENTITY_FILE} is damaged. Restore that file from "
            "a backup (cluster.id, node.id and directory.id, one a line).",
        )
    return Identity(cluster_id, node_id, directory_id, version)


def check_node(identity: Identity, path: str, node_id: int) -> None:
    """Raise StorageError if the directory belongs to another node."""
    if identity.node_id != node_id:
        raise StorageError(
            Kind.IDENTITY,
            f"cannot open data dir {path}: it belongs to node {identity.node_id} of cluster "
            f"{identity.cluster_id}, but node.id is {node_id}. Set node.id={identity.node_id} or "
            "choose another --data-dir.",
        )


def create_identity(
    files: Files,
    path: str,
    node_id: int,
    random: Random,
    *,
    cluster_id: str = "",
    beside: Collection[str] = (),
) -> Identity:
    """Give a new directory its identity, durably. Raises StorageError if it is not empty.

    The mark is written first: beside an identity its absence means that it was lost. An import
    brings the cluster id, and the names of what it has put there.
    """
    names = set(files.list_directory(path)).difference(beside)
    foreign = [name for name in sorted(names) if not _is_harmless(name)]
    if foreign:
        raise StorageError(
            Kind.IDENTITY,
            f"cannot use {path} as data dir: it has no {IDENTITY_FILE} but holds {foreign[0]}. "
            "Choose an empty directory.",
        )
    mark = Mark.load(files, path)
    if not mark.known:
        mark.write()
        mark.close()
    identity = Identity(cluster_id or format_uuid(new_uuid(random)), node_id, new_uuid(random))
    _write(files, path, identity)
    return identity


def raise_format(files: Files, path: str, identity: Identity) -> Identity:
    """Let no older server open a directory that this one writes to, durably. Raises OSError."""
    if identity.format_version < FORMAT_VERSION:
        identity = identity._replace(format_version=FORMAT_VERSION)
        _write(files, path, identity)
    return identity


def _write(files: Files, path: str, identity: Identity) -> None:
    lines = [
        f"version={META_VERSION}",
        f"cluster.id={identity.cluster_id}",
        f"node.id={identity.node_id}",
        f"directory.id={format_uuid(identity.directory_id)}",
        f"{FORMAT_KEY}={identity.format_version}",
    ]
    files.write_atomically(f"{path}/{IDENTITY_FILE}", ("\n".join(lines) + "\n").encode())


def _is_harmless(name: str) -> bool:
    known = ("lost+found", MARK_FILE)  # a mark alone: of a first start that was cut short
    return name.startswith(".") or name in known or name.endswith(".tmp")


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None
