"""logserver.cli.consume: the records that were asked for, and nothing else, on standard output."""

import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable

import pytest

from logserver.cli.exits import Exit
from logserver.client import Admin, Producer

BASE_MS = 1_700_000_000_000
Consume = Callable[..., bytes]


@pytest.fixture(scope="module")
def topic(kafka_bootstrap: str) -> str:
    """A topic of three partitions; partition 1 has ten records, a second apart."""
    with Admin(kafka_bootstrap) as admin:
        admin.create_topic("consumed", partitions=3)
    with Producer(kafka_bootstrap) as producer:
        for number in range(10):
            producer.send(
                "consumed",
                b"value %d" % number,
                key=b"key %d" % number,
                partition=1,
                timestamp_ms=BASE_MS + 1000 * number,
            )
        producer.send("consumed", b"other", partition=2, timestamp_ms=BASE_MS)
    return "consumed"


@pytest.fixture
def consume(kafka_bootstrap: str) -> Consume:
    """Run `consume` as a process; what it wrote to standard output."""

    def run(*words: str, code: int = Exit.OK) -> bytes:
        command = [sys.executable, "-m", "logserver.cli", "consume", *words]
        command += ["--bootstrap", kafka_bootstrap]
        result = subprocess.run(command, capture_output=True, timeout=60, check=False)
        assert result.returncode == code, result.stderr
        assert bool(result.stderr) == (code != Exit.OK), result.stderr
        return result.stdout if code == Exit.OK else result.stderr

    return run


def values(*numbers: int) -> bytes:
    """The lines of these records."""
    return b"".join(b"value %d\n" % number for number in numbers)


def test_everything_is_printed_up_to_the_end(consume: Consume, topic: str) -> None:
    """From the beginning, from all partitions, then it stops."""
    lines = consume(topic).splitlines(keepends=True)
    assert sorted(lines) == sorted([*values(*range(10)).splitlines(keepends=True), b"other\n"])
    assert [line for line in lines if line != b"other\n"] == values(*range(10)).splitlines(
        keepends=True
    )


@pytest.mark.parametrize(
    ("start", "numbers"),
    [
        ("beginning", range(10)),
        ("end", ()),
        ("0", range(10)),
        ("7", range(7, 10)),
        (f"@{BASE_MS + 4000}", range(4, 10)),
        (f"@{BASE_MS + 4001}", range(5, 10)),
        ("2023-11-14T22:13:28Z", (8, 9)),
        ("2030-01-01", ()),
    ],
)
def test_reading_starts_where_it_was_asked_to(
    consume: Consume, topic: str, start: str, numbers: range
) -> None:
    """Offsets, timestamps, beginning, end."""
    assert consume(topic, "--partition", "1", "--from", start) == values(*numbers)


def test_a_number_of_messages_is_enough(consume: Consume, topic: str) -> None:
    """Also with --follow, which otherwise never ends."""
    assert consume(topic, "-p", "1", "-n", "3") == values(0, 1, 2)
    assert consume(topic, "-p", "1", "-n", "2", "--follow", "--from", "8") == values(8, 9)


def test_a_format_says_how_a_record_is_printed(consume: Consume, topic: str) -> None:
    """Placeholders, or JSON lines."""
    words = [topic, "-p", "1", "--from", "9"]
    assert consume(*words, "--format", "%t/%p/%o %T %k=%v;") == (
        b"consumed/1/9 %d key 9=value 9;" % (BASE_MS + 9000)
    )
    document = json.loads(consume(*words, "--json"))
    assert document == json.loads(consume(*words, "--format", "json"))
    assert (document["offset"], document["key"], document["value"]) == (9, "key 9", "value 9")


def test_follow_waits_for_more_and_ends_quietly_with_ctrl_c(
    kafka_bootstrap: str, topic: str
) -> None:
    """Code 130, and what arrived is seen at once."""
    words = [topic, "--follow", "--partition", "0", "--bootstrap", kafka_bootstrap]
    command = [sys.executable, "-m", "logserver.cli", "consume", *words]
    with (
        Producer(kafka_bootstrap) as producer,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        producer.send(topic, b"first", partition=0).result()
        assert process.stdout.readline() == b"first\n"
        producer.send(topic, b"second", partition=0).result()
        assert process.stdout.readline() == b"second\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == Exit.INTERRUPTED
        assert process.stderr.read() == b""


def test_a_reader_that_has_enough_ends_it_quietly(kafka_bootstrap: str, topic: str) -> None:
    """`consume | head -1`."""
    program = f"{sys.executable} -m logserver.cli consume {topic} --bootstrap {kafka_bootstrap}"
    command = f"{program} --follow | head -1; echo ${{PIPESTATUS[0]}} >&2"
    with Producer(kafka_bootstrap) as producer:
        process = subprocess.Popen(
            ["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        # it learns that nobody reads when it writes again
        while process.poll() is None:
            producer.send(topic, b"more", partition=2).result()
        out, err = process.communicate()
    assert out.count("\n") == 1
    assert int(err) == Exit.BROKEN_PIPE


def test_an_offset_outside_the_log_is_told(
    consume: Consume, topic: str, kafka_bootstrap: str
) -> None:
    """Behind the end at once; before the start after a trim."""
    told = consume(topic, "-p", "1", "--from", "99", code=Exit.FAILED)
    assert b"offset 99 is outside the log of consumed (it ends at 10)" in told
    with Admin(kafka_bootstrap) as admin, Producer(kafka_bootstrap) as producer:
        admin.create_topic("trimmed", partitions=1)
        for _ in range(5):
            producer.send("trimmed", b"x").result()
        admin.delete_records("trimmed", {0: 3})
    told = consume("trimmed", "--from", "1", code=Exit.FAILED)
    assert b"offset 1 is outside the log of trimmed-0 (3 to 5). Choose --from" in told


def test_what_cannot_be_read_is_one_sentence(consume: Consume, topic: str) -> None:
    """An unknown topic is not created by reading it; an unknown partition is named."""
    assert b"UNKNOWN_TOPIC_OR_PARTITION" in consume("nowhere", code=Exit.FAILED)
    assert b"nowhere" in consume("nowhere", code=Exit.FAILED)
    assert b"consumed-7" in consume(topic, "-p", "7", code=Exit.FAILED)


@pytest.fixture
def shared(kafka_bootstrap: str) -> tuple[str, str]:
    """A topic of two partitions with six records, and the name of a group that nobody is in."""
    name = f"shared-{uuid.uuid4().hex[:8]}"
    with Admin(kafka_bootstrap) as admin, Producer(kafka_bootstrap) as producer:
        admin.create_topic(name, partitions=2)
        for number in range(6):
            producer.send(name, b"value %d" % number, partition=number % 2)
    return name, f"readers-of-{name}"


def test_a_group_goes_on_where_it_has_stopped(
    consume: Consume, shared: tuple[str, str], kafka_bootstrap: str
) -> None:
    """Each record is printed once, however often the command is run."""
    topic, group = shared
    words = (topic, "--group", group)
    first = consume(*words, "--max-messages", "4").splitlines()
    rest = consume(*words).splitlines()
    assert (len(first), len(rest)) == (4, 2)
    assert sorted(first + rest) == values(*range(6)).splitlines()
    assert consume(*words) == b""
    with Producer(kafka_bootstrap) as producer:
        producer.send(topic, b"more", partition=1)
    assert consume(*words) == b"more\n"
    with Admin(kafka_bootstrap) as admin:
        offsets = {key: one.offset for key, one in admin.groups.committed(group).items()}
        assert offsets == {(topic, 0): 3, (topic, 1): 4}
        assert admin.groups.describe(group).members == []


def test_where_a_group_begins_is_asked_for_what_it_has_never_read(
    consume: Consume, shared: tuple[str, str]
) -> None:
    """`--from` has no say after that."""
    topic, group = shared
    words = (topic, "--group", group, "--from", "2")
    assert sorted(consume(*words).splitlines()) == values(4, 5).splitlines()
    assert consume(topic, "--group", group, "--from", "beginning") == b""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, Exit.INTERRUPTED), (signal.SIGTERM, -signal.SIGTERM)]
)
def test_a_group_is_left_and_what_was_printed_committed_at_ctrl_c_and_at_a_stop(
    kafka_bootstrap: str, shared: tuple[str, str], number: signal.Signals, code: int
) -> None:
    """Others need not wait for its session to time out; the last record may be printed again."""
    topic, group = shared
    words = [topic, "--group", group, "--follow", "--bootstrap", kafka_bootstrap]
    command = [sys.executable, "-m", "logserver.cli", "consume", *words]
    with (
        Admin(kafka_bootstrap) as admin,
        Producer(kafka_bootstrap) as producer,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        printed = sorted(process.stdout.readline() for _ in range(6))
        assert printed == values(*range(6)).splitlines(keepends=True)
        (member,) = admin.groups.describe(group).members
        assert member.client_id == "logserver-cli"
        assert member.partitions == [(topic, 0), (topic, 1)]
        producer.send(topic, b"last", partition=1).result()
        assert process.stdout.readline() == b"last\n"
        process.send_signal(number)
        assert process.wait(20) == code
        assert process.stderr.read() == b""
        assert admin.groups.describe(group).members == []
        offsets = {key: one.offset for key, one in admin.groups.committed(group).items()}
        assert offsets in [{(topic, 0): 3, (topic, 1): end} for end in (3, 4)]


def test_a_group_gives_out_partitions_itself(consume: Consume, topic: str) -> None:
    """To ask for one is a contradiction."""
    told = consume(topic, "--group", "g", "--partition", "1", code=Exit.USAGE)
    assert b"--partition does not go with --group" in told


def test_a_topic_that_is_not_there_is_told_to_a_group_too(consume: Consume) -> None:
    """Before it is joined."""
    assert b"nowhere" in consume("nowhere", "--group", "g", code=Exit.FAILED)
