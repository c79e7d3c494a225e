"""How far each log of a log directory is compacted: Kafka's file `cleaner-offset-checkpoint`.

    0                      version
    2                      how many lines follow
    telemetry 0 1971       topic, partition, first dirty offset
    settings 3 40

Written whole after each compaction. It is a hint: without it, or with one that cannot be read,
compaction begins at the log start again and finds nothing to remove but what it would have removed
anyway. Only a number that is too high does harm: tombstones could go before what they delete. So it
is written when a compaction has ended, never before. Kafka reads ours and we read Kafka's.

Source: Kafka's OffsetCheckpointFile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .files import Files

CHECKPOINT_FILE: Final = "cleaner-offset-checkpoint"


def encode(offsets: Mapping[str, int]) -> bytes:
    """The bytes of the file; keys are partition directory names, `<topic>-<partition>`."""
    lines = ["0", str(len(offsets))]
    for name, offset in sorted(offsets.items()):
        topic, _, partition = name.rpartition("-")
        lines.append(f"{topic} {partition} {offset}")
    return ("\n".join(lines) + "\n").encode()


def decode(data: bytes) -> dict[str, int] | None:
    """First dirty offsets by partition directory name; None for what is no such file."""
    lines = data.decode("ascii", "replace").split("\n")
    if lines[0] != "0" or lines[-1] != "" or lines[1:2] != [str(len(lines) - 3)]:
        return None
    offsets = {}
    for line in lines[2:-1]:
        words = line.split(" ")
        if len(words) != 3 or not (words[1].isdigit() and words[2].isdigit()):
            return None
        offsets[f"{words[0]}-{words[1]}"] = int(words[2])
    return offsets


def read(files: Files, path: str) -> dict[str, int]:
    """What the file of a log directory says; nothing, if it cannot be believed. Raises OSError."""
    try:
        return decode(files.read_file(f"{path}/{CHECKPOINT_FILE}")) or {}
    except FileNotFoundError:
        return {}


def write(files: Files, path: str, offsets: Mapping[str, int]) -> None:
    """Replace the file, durably. Raises OSError."""
    files.write_atomically(f"{path}/{CHECKPOINT_FILE}", encode(offsets))
