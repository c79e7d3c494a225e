"""What a client tells its caller when something cannot be done: one exception, nine kinds.

`ClientError.kind` is for programs, the sentence for people: it names the server, topic or
partition, says what happened and, where we know it, what to do. `code` is the Kafka error code when
a server refused, else None.

    connect      no connection: wrong address, nothing listens, refused, no answer to the first byte
    closed       a connection, producer or consumer was closed under a call
    timeout      no answer, or not delivered, within the configured time
    protocol     the peer does not speak Kafka, or breaks its rules
    unsupported  the server is too old or too new for a request
    refused      the server said no; `code` says why
    too_large    a record or batch is above a limit
    buffer_full  the producer's buffer stayed full for `max_block_ms`
    corrupt      a batch failed its checksum or cannot be decoded
"""

from typing import Final, Literal, get_args

from logwire.errors import ERRORS
from logwire.messages import Message

Kind = Literal[
    "connect",
    "closed",
    "timeout",
    "protocol",
    "unsupported",
    "refused",
    "too_large",
    "buffer_full",
    "corrupt",
]
KINDS: Final = get_args(Kind)


class ClientError(Exception):
    """Something the client was asked to do cannot be done; see the module for `kind`."""

    def __init__(self, kind: Kind, message: str, code: int | None = None) -> None:
        assert kind in KINDS, kind
        super().__init__(message)
        self.kind = kind
        self.code = code


class OffsetOutOfRange(ClientError):
    """A consumer's position lies outside the log: trimmed away, or a recreated topic."""

    def __init__(self, topic: str, partition: int, offset: int, start: int, end: int) -> None:
        super().__init__(
            "refused",
            f"offset {offset} of {topic}-{partition} is outside the log ({start} to {end}). Seek to"
            ' an offset in it, or choose on_out_of_range="beginning" or "end".',
            code=1,
        )
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.log_start_offset = start
        self.log_end_offset = end


def refusal(what: str, code: int, detail: str | None = None) -> ClientError:
    """The error for a server's refusal: `cannot create topic t: TOPIC_ALREADY_EXISTS (36): ...`."""
    row = ERRORS.get(code)
    name = row.name if row else "UNKNOWN_ERROR_CODE"
    sentence = detail or (row.message if row else "this client does not know the code")
    return ClientError("refused", f"cannot {what}: {name} ({code}): {sentence}", code)


def only_row(rows: list[Message]) -> Message:
    """The row of an answer to one question."""
    if len(rows) != 1:
        raise ClientError("protocol", f"the server answered {len(rows)} rows where one was asked")
    return rows[0]


def check_row(what: str, row: Message) -> None:
    """Raise the refusal that a row of an answer carries, if it does."""
    if row["error_code"]:
        raise refusal(what, row["error_code"], row.get("error_message"))


def is_retriable(code: int) -> bool:
    """Whether Kafka's clients would try again by themselves."""
    row = ERRORS.get(code)
    return row is not None and row.retriable
