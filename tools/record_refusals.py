"""Record what Apache Kafka answers to broken input: `protocol/vectors/refusals.json`.

    python tools/record_refusals.py 127.0.0.1:9092 --version 4.3.1

Three tables: `produce` (steps on a fresh topic: bytes in hex, code, base offset), `frames` (raw
bytes on a fresh connection: the answer, or that Kafka hung up, or that it waited) and
`topic_names` (codes of CreateTopics and of Metadata with auto-creation). The tests replay them
against our server: `tests/server/test_refusals.py`, `tests/server/test_hostile_bytes.py`.

Re-record when Kafka's release changes, read the difference, and say in the commit what it means.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.hostile_frames import TOPIC_NAMES, Frame, hostile_frames  # noqa: E402
from tools.raw_kafka import RawConnection, address_of, wait_for_verdict  # noqa: E402
from tools.refusal_cases import Case, Step, produce_cases  # noqa: E402

SILENCE_S = 1.0  # how long no answer must last to be called waiting
NAMES = {
    -1: "UNKNOWN_SERVER_ERROR",
    0: "NONE",
    2: "CORRUPT_MESSAGE",
    3: "UNKNOWN_TOPIC_OR_PARTITION",
    6: "NOT_LEADER_OR_FOLLOWER",
    10: "MESSAGE_TOO_LARGE",
    17: "INVALID_TOPIC_EXCEPTION",
    19: "NOT_ENOUGH_REPLICAS",
    21: "INVALID_REQUIRED_ACKS",
    32: "INVALID_TIMESTAMP",
    35: "UNSUPPORTED_VERSION",
    36: "TOPIC_ALREADY_EXISTS",
    42: "INVALID_REQUEST",
    43: "UNSUPPORTED_FOR_MESSAGE_FORMAT",
    45: "OUT_OF_ORDER_SEQUENCE_NUMBER",
    46: "DUPLICATE_SEQUENCE_NUMBER",
    47: "INVALID_PRODUCER_EPOCH",
    48: "INVALID_TXN_STATE",
    49: "INVALID_PRODUCER_ID_MAPPING",
    53: "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
    59: "UNKNOWN_PRODUCER_ID",
    76: "UNSUPPORTED_COMPRESSION_TYPE",
    87: "INVALID_RECORD",
    90: "PRODUCER_FENCED",
    120: "TRANSACTION_ABORTABLE",
}


def _step_row(step: Step) -> dict[str, Any]:
    """The inputs of a step; what has its usual value is left out."""
    row: dict[str, Any] = {"records": None if step.records is None else step.records.hex()}
    for field in ("version", "acks", "transactional_id", "partition", "topic"):
        if getattr(step, field) != Step._field_defaults[field]:
            row[field] = getattr(step, field)
    return row


def record_case(address: tuple[str, int], case: Case, topic: str) -> dict[str, Any]:
    """Run the steps of a case on a new topic; a step that ends the connection says `closed`."""
    connection = RawConnection(address)
    connection.delete_topic(topic)  # left over by a run that was broken off
    code = connection.create_topic(topic, case.config)
    assert code == 0, f"{case.name}: creating the topic gave {code}"
    connection.wait_for_topic(topic)
    row: dict[str, Any] = {"name": case.name}
    if case.config:
        row["config"] = dict(case.config)
    if case.inside:
        row["inside"] = True
    if case.ours is not None:
        row["ours"] = {"error_code": case.ours[0], "reason": case.ours[1]}
    row["steps"] = steps = []
    for step in case.steps:
        recorded = _step_row(step)
        try:
            answer = connection.produce(topic, step)
        except (EOFError, TimeoutError) as error:
            recorded["outcome"] = "closed" if isinstance(error, EOFError) else "never answered"
            connection.socket.close()
            connection = RawConnection(address)
        else:
            recorded["error_code"] = answer.error_code
            recorded["error"] = NAMES[answer.error_code]
            recorded["base_offset"] = answer.base_offset
            if answer.error_message is not None:
                recorded["message"] = answer.error_message.replace(topic, "TOPIC")
        steps.append(recorded)
    row["end_offset"] = connection.end_offset(topic)
    connection.delete_topic(topic)
    connection.socket.close()
    return row


def record_frame(address: tuple[str, int], frame: Frame) -> dict[str, Any]:
    """What happens to a new connection that starts with these bytes."""
    row: dict[str, Any] = {"name": frame.name, "data": frame.data.hex()}
    if frame.ours is not None:
        row["ours"] = {"outcome": frame.ours[0], "reason": frame.ours[1]}
    with RawConnection(address) as connection:
        connection.send(frame.data)
        try:
            answer = wait_for_verdict(connection, SILENCE_S)
        except TimeoutError:
            row["outcome"] = "waits"
            return row
    row["outcome"] = "closed" if answer is None else "answered"
    if answer is not None:
        row["response"] = answer.hex() if len(answer) <= 64 else answer[:64].hex() + "..."
    return row


def record_topic_name(address: tuple[str, int], name: str) -> dict[str, Any]:
    """Codes of CreateTopics and of Metadata that may create the topic."""
    row: dict[str, Any] = {"name": name}
    with RawConnection(address) as connection:
        row["metadata"] = connection.metadata_code(name)
        connection.delete_topic(name)
    with RawConnection(address) as connection:
        row["create_topics"] = connection.create_topic(name, {})
        connection.delete_topic(name)
    return row


def record(address: tuple[str, int], version: str) -> dict[str, Any]:
    """The three tables."""
    with RawConnection(address) as connection:
        connection.create_topic("frames", {})
        connection.wait_for_topic("frames")
    cases = produce_cases()
    produce = [record_case(address, case, f"refusals-{n}") for n, case in enumerate(cases)]
    frames = [record_frame(address, frame) for frame in hostile_frames()]
    names = [record_topic_name(address, name) for name in TOPIC_NAMES]
    source = f"Apache Kafka {version}, recorded by tools/record_refusals.py"
    return {"source": source, "produce": produce, "frames": frames, "topic_names": names}


def main() -> None:
    """Record from the server named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bootstrap", help="host:port of an Apache Kafka that nobody else uses")
    parser.add_argument("--version", required=True, help="its release, for the file's first line")
    parser.add_argument("--output", default=str(ROOT / "protocol/vectors/refusals.json"))
    options = parser.parse_args()
    tables = record(address_of(options.bootstrap), options.version)
    path = Path(options.output)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tables, indent=1) + "\n")
    for case in tables["produce"]:
        for step in case["steps"]:
            verdict = step.get("error", step.get("outcome"))
            print(f"{verdict:38} {case['name']}: {step.get('message', '')}")
    print(f"{len(tables['produce'])} cases, {len(tables['frames'])} frames in {path}")


if __name__ == "__main__":
    main()
