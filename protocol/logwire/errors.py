"""The error table of Kafka 4.4, and the two exceptions of this package.

Three kinds of failure are kept apart:

    the peer broke the protocol      `ProtocolError`: the connection closes, nothing else happens
    a request is refused             `Refusal(code)`: becomes a row of this table in the answer
    we broke our own rules           `assert` or ValueError: a bug, never an answer

Codes are plain ints under Kafka's names (`errors.NOT_LEADER_OR_FOLLOWER == 6`), since they travel
in hot loops. `ERRORS` has the whole row per code. "Retriable" is what a client does by itself: it
tries again when the row says so, and tells the user when not.

Source of codes, names and the retriable flag: org.apache.kafka.common.protocol.Errors, 4.4.0.
"""

from typing import NamedTuple


class ProtocolError(Exception):
    """The peer's bytes break the protocol. The message says what was wrong and where."""


class Refusal(Exception):
    """A request that is understood and refused: `code` of the table and a sentence."""

    def __init__(self, code: int, message: str = "") -> None:
        self.code = code
        self.message = message or ERRORS[code].message
        super().__init__(f"{ERRORS[code].name}: {self.message}")


class ErrorRow(NamedTuple):
    code: int
    name: str
    retriable: bool
    message: str


UNKNOWN_SERVER_ERROR = -1
NONE = 0
OFFSET_OUT_OF_RANGE = 1
CORRUPT_MESSAGE = 2
UNKNOWN_TOPIC_OR_PARTITION = 3
INVALID_FETCH_SIZE = 4
LEADER_NOT_AVAILABLE = 5
NOT_LEADER_OR_FOLLOWER = 6
REQUEST_TIMED_OUT = 7
BROKER_NOT_AVAILABLE = 8
REPLICA_NOT_AVAILABLE = 9
MESSAGE_TOO_LARGE = 10
STALE_CONTROLLER_EPOCH = 11
OFFSET_METADATA_TOO_LARGE = 12
NETWORK_EXCEPTION = 13
COORDINATOR_LOAD_IN_PROGRESS = 14
COORDINATOR_NOT_AVAILABLE = 15
NOT_COORDINATOR = 16
INVALID_TOPIC_EXCEPTION = 17
RECORD_LIST_TOO_LARGE = 18
NOT_ENOUGH_REPLICAS = 19
NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20
INVALID_REQUIRED_ACKS = 21
ILLEGAL_GENERATION = 22
INCONSISTENT_GROUP_PROTOCOL = 23
INVALID_GROUP_ID = 24
UNKNOWN_MEMBER_ID = 25
INVALID_SESSION_TIMEOUT = 26
REBALANCE_IN_PROGRESS = 27
INVALID_COMMIT_OFFSET_SIZE = 28
TOPIC_AUTHORIZATION_FAILED = 29
GROUP_AUTHORIZATION_FAILED = 30
CLUSTER_AUTHORIZATION_FAILED = 31
INVALID_TIMESTAMP = 32
UNSUPPORTED_SASL_MECHANISM = 33
ILLEGAL_SASL_STATE = 34
UNSUPPORTED_VERSION = 35
TOPIC_ALREADY_EXISTS = 36
INVALID_PARTITIONS = 37
INVALID_REPLICATION_FACTOR = 38
INVALID_REPLICA_ASSIGNMENT = 39
INVALID_CONFIG = 40
NOT_CONTROLLER = 41
INVALID_REQUEST = 42
UNSUPPORTED_FOR_MESSAGE_FORMAT = 43
POLICY_VIOLATION = 44
OUT_OF_ORDER_SEQUENCE_NUMBER = 45
DUPLICATE_SEQUENCE_NUMBER = 46
INVALID_PRODUCER_EPOCH = 47
INVALID_TXN_STATE = 48
INVALID_PRODUCER_ID_MAPPING = 49
INVALID_TRANSACTION_TIMEOUT = 50
CONCURRENT_TRANSACTIONS = 51
TRANSACTION_COORDINATOR_FENCED = 52
TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
SECURITY_DISABLED = 54
OPERATION_NOT_ATTEMPTED = 55
KAFKA_STORAGE_ERROR = 56
LOG_DIR_NOT_FOUND = 57
SASL_AUTHENTICATION_FAILED = 58
UNKNOWN_PRODUCER_ID = 59
REASSIGNMENT_IN_PROGRESS = 60
DELEGATION_TOKEN_AUTH_DISABLED = 61
DELEGATION_TOKEN_NOT_FOUND = 62
DELEGATION_TOKEN_OWNER_MISMATCH = 63
DELEGATION_TOKEN_REQUEST_NOT_ALLOWED = 64
DELEGATION_TOKEN_AUTHORIZATION_FAILED = 65
DELEGATION_TOKEN_EXPIRED = 66
INVALID_PRINCIPAL_TYPE = 67
NON_EMPTY_GROUP = 68
GROUP_ID_NOT_FOUND = 69
FETCH_SESSION_ID_NOT_FOUND = 70
INVALID_FETCH_SESSION_EPOCH = 71
LISTENER_NOT_FOUND = 72
TOPIC_DELETION_DISABLED = 73
FENCED_LEADER_EPOCH = 74
UNKNOWN_LEADER_EPOCH = 75
UNSUPPORTED_COMPRESSION_TYPE = 76
STALE_BROKER_EPOCH = 77
OFFSET_NOT_AVAILABLE = 78
MEMBER_ID_REQUIRED = 79
PREFERRED_LEADER_NOT_AVAILABLE = 80
GROUP_MAX_SIZE_REACHED = 81
FENCED_INSTANCE_ID = 82
ELIGIBLE_LEADERS_NOT_AVAILABLE = 83
ELECTION_NOT_NEEDED = 84
NO_REASSIGNMENT_IN_PROGRESS = 85
GROUP_SUBSCRIBED_TO_TOPIC = 86
INVALID_RECORD = 87
UNSTABLE_OFFSET_COMMIT = 88
THROTTLING_QUOTA_EXCEEDED = 89
PRODUCER_FENCED = 90
RESOURCE_NOT_FOUND = 91
DUPLICATE_RESOURCE = 92
UNACCEPTABLE_CREDENTIAL = 93
INCONSISTENT_VOTER_SET = 94
INVALID_UPDATE_VERSION = 95
FEATURE_UPDATE_FAILED = 96
PRINCIPAL_DESERIALIZATION_FAILURE = 97
SNAPSHOT_NOT_FOUND = 98
POSITION_OUT_OF_RANGE = 99
UNKNOWN_TOPIC_ID = 100
DUPLICATE_BROKER_REGISTRATION = 101
BROKER_ID_NOT_REGISTERED = 102
INCONSISTENT_TOPIC_ID = 103
INCONSISTENT_CLUSTER_ID = 104
TRANSACTIONAL_ID_NOT_FOUND = 105
FETCH_SESSION_TOPIC_ID_ERROR = 106
INELIGIBLE_REPLICA = 107
NEW_LEADER_ELECTED = 108
OFFSET_MOVED_TO_TIERED_STORAGE = 109
FENCED_MEMBER_EPOCH = 110
UNRELEASED_INSTANCE_ID = 111
UNSUPPORTED_ASSIGNOR = 112
STALE_MEMBER_EPOCH = 113
MISMATCHED_ENDPOINT_TYPE = 114
UNSUPPORTED_ENDPOINT_TYPE = 115
UNKNOWN_CONTROLLER_ID = 116
UNKNOWN_SUBSCRIPTION_ID = 117
TELEMETRY_TOO_LARGE = 118
INVALID_REGISTRATION = 119
TRANSACTION_ABORTABLE = 120
INVALID_RECORD_STATE = 121
SHARE_SESSION_NOT_FOUND = 122
INVALID_SHARE_SESSION_EPOCH = 123
FENCED_STATE_EPOCH = 124
INVALID_VOTER_KEY = 125
DUPLICATE_VOTER = 126
VOTER_NOT_FOUND = 127
INVALID_REGULAR_EXPRESSION = 128
REBOOTSTRAP_REQUIRED = 129
STREAMS_INVALID_TOPOLOGY = 130
STREAMS_INVALID_TOPOLOGY_EPOCH = 131
STREAMS_TOPOLOGY_FENCED = 132
SHARE_SESSION_LIMIT_REACHED = 133
GROUP_DELETION_FAILED = 134
STREAMS_TOPOLOGY_DESCRIPTION_UPDATE_FAILED = 135
CONTROLLER_ID_NOT_REGISTERED = 136

_NAMES = {code: name for name, code in list(globals().items()) if isinstance(code, int)}

RETRIABLE = frozenset(
    (
        CORRUPT_MESSAGE,
        UNKNOWN_TOPIC_OR_PARTITION,
        LEADER_NOT_AVAILABLE,
        NOT_LEADER_OR_FOLLOWER,
        REQUEST_TIMED_OUT,
        REPLICA_NOT_AVAILABLE,
        NETWORK_EXCEPTION,
        COORDINATOR_LOAD_IN_PROGRESS,
        COORDINATOR_NOT_AVAILABLE,
        NOT_COORDINATOR,
        NOT_ENOUGH_REPLICAS,
        NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        NOT_CONTROLLER,
        CONCURRENT_TRANSACTIONS,
        KAFKA_STORAGE_ERROR,
        FETCH_SESSION_ID_NOT_FOUND,
        INVALID_FETCH_SESSION_EPOCH,
        LISTENER_NOT_FOUND,
        FENCED_LEADER_EPOCH,
        UNKNOWN_LEADER_EPOCH,
        OFFSET_NOT_AVAILABLE,
        PREFERRED_LEADER_NOT_AVAILABLE,
        ELIGIBLE_LEADERS_NOT_AVAILABLE,
        ELECTION_NOT_NEEDED,
        UNSTABLE_OFFSET_COMMIT,
        THROTTLING_QUOTA_EXCEEDED,
        UNKNOWN_TOPIC_ID,
        INCONSISTENT_TOPIC_ID,
        FETCH_SESSION_TOPIC_ID_ERROR,
        SHARE_SESSION_NOT_FOUND,
        INVALID_SHARE_SESSION_EPOCH,
        SHARE_SESSION_LIMIT_REACHED,
    )
)

_SENTENCES = {
    UNKNOWN_SERVER_ERROR: "Something failed inside the server; its log tells more.",
    NONE: "No error.",
    OFFSET_OUT_OF_RANGE: "The offset lies outside of what the partition holds.",
    CORRUPT_MESSAGE: "The batch is damaged: its checksum, length or layout is wrong.",
    UNKNOWN_TOPIC_OR_PARTITION: "This server does not hold that topic or partition.",
    INVALID_FETCH_SIZE: "The fetch size is not valid.",
    LEADER_NOT_AVAILABLE: "The partition has no leader right now.",
    NOT_LEADER_OR_FOLLOWER: "This broker is not the leader (or a replica) of the partition.",
    REQUEST_TIMED_OUT: "The request could not be completed in its time.",
    BROKER_NOT_AVAILABLE: "The broker is not available.",
    REPLICA_NOT_AVAILABLE: "The replica is not available.",
    MESSAGE_TOO_LARGE: "The batch is larger than max.message.bytes allows.",
    STALE_CONTROLLER_EPOCH: "The controller has moved to another broker.",
    OFFSET_METADATA_TOO_LARGE: "The metadata of the committed offset is too large.",
    NETWORK_EXCEPTION: "The connection broke before an answer came.",
    COORDINATOR_LOAD_IN_PROGRESS: "The coordinator is still loading its state.",
    COORDINATOR_NOT_AVAILABLE: "The coordinator is not available.",
    NOT_COORDINATOR: "This broker is not the coordinator.",
    INVALID_TOPIC_EXCEPTION: "The topic name is not valid.",
    RECORD_LIST_TOO_LARGE: "The batches are larger than a segment may be.",
    NOT_ENOUGH_REPLICAS: "Fewer replicas are in sync than min.insync.replicas asks for.",
    NOT_ENOUGH_REPLICAS_AFTER_APPEND: "Written, but to fewer replicas than asked for.",
    INVALID_REQUIRED_ACKS: "acks must be -1, 0 or 1.",
    ILLEGAL_GENERATION: "The generation id of the group is not the current one.",
    INCONSISTENT_GROUP_PROTOCOL: "The member's protocols do not fit those of the group.",
    INVALID_GROUP_ID: "The group id is not valid.",
    UNKNOWN_MEMBER_ID: "The coordinator does not know this member.",
    INVALID_SESSION_TIMEOUT: "The session timeout is outside of the range that the broker allows.",
    REBALANCE_IN_PROGRESS: "The group is rebalancing: join again.",
    INVALID_COMMIT_OFFSET_SIZE: "The committed offset takes more room than is allowed.",
    TOPIC_AUTHORIZATION_FAILED: "Not authorized for this topic.",
    GROUP_AUTHORIZATION_FAILED: "Not authorized for this group.",
    CLUSTER_AUTHORIZATION_FAILED: "Not authorized for the cluster.",
    INVALID_TIMESTAMP: "The timestamp is outside of the range that the topic accepts.",
    UNSUPPORTED_SASL_MECHANISM: "The SASL mechanism is not offered here.",
    ILLEGAL_SASL_STATE: "The request does not fit the state of the SASL exchange.",
    UNSUPPORTED_VERSION: "This version of the API is not served.",
    TOPIC_ALREADY_EXISTS: "A topic with this name exists already.",
    INVALID_PARTITIONS: "The number of partitions is not valid.",
    INVALID_REPLICATION_FACTOR: "The replication factor is below 1 or above the number of brokers.",
    INVALID_REPLICA_ASSIGNMENT: "The assignment of replicas is not valid.",
    INVALID_CONFIG: "The configuration is not valid.",
    NOT_CONTROLLER: "This broker is not the controller.",
    INVALID_REQUEST: "The request contradicts itself or the protocol.",
    UNSUPPORTED_FOR_MESSAGE_FORMAT: "The message format of the log does not support the request.",
    POLICY_VIOLATION: "The request breaks a policy of the cluster.",
    OUT_OF_ORDER_SEQUENCE_NUMBER: "An earlier batch of this producer is missing.",
    DUPLICATE_SEQUENCE_NUMBER: "The sequence number was used before.",
    INVALID_PRODUCER_EPOCH: "A producer with the same id and a newer epoch exists.",
    INVALID_TXN_STATE: "The transaction is not in a state that allows this.",
    INVALID_PRODUCER_ID_MAPPING: "The producer id does not belong to this transactional id.",
    INVALID_TRANSACTION_TIMEOUT: "The transaction timeout is longer than the broker allows.",
    CONCURRENT_TRANSACTIONS: "Another operation on the same transaction is under way.",
    TRANSACTION_COORDINATOR_FENCED: "The transaction coordinator has been replaced by a newer one.",
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "Not authorized for this transactional id.",
    SECURITY_DISABLED: "Security features are switched off.",
    OPERATION_NOT_ATTEMPTED: "Not tried, because another part of the same request failed.",
    KAFKA_STORAGE_ERROR: "The log directory is failing: its disk returned an error.",
    LOG_DIR_NOT_FOUND: "There is no such log directory.",
    SASL_AUTHENTICATION_FAILED: "Authentication failed.",
    UNKNOWN_PRODUCER_ID: "Nothing is known about this producer id any more.",
    REASSIGNMENT_IN_PROGRESS: "A reassignment of partitions is under way.",
    DELEGATION_TOKEN_AUTH_DISABLED: "Delegation tokens are switched off.",
    DELEGATION_TOKEN_NOT_FOUND: "There is no such delegation token.",
    DELEGATION_TOKEN_OWNER_MISMATCH: "The principal is neither owner nor renewer of the token.",
    DELEGATION_TOKEN_REQUEST_NOT_ALLOWED: "No tokens are given over this connection.",
    DELEGATION_TOKEN_AUTHORIZATION_FAILED: "Not authorized for this delegation token.",
    DELEGATION_TOKEN_EXPIRED: "The delegation token has expired.",
    INVALID_PRINCIPAL_TYPE: "The type of the principal is not supported.",
    NON_EMPTY_GROUP: "The group still has members.",
    GROUP_ID_NOT_FOUND: "There is no such group.",
    FETCH_SESSION_ID_NOT_FOUND: "The fetch session is not known (any more).",
    INVALID_FETCH_SESSION_EPOCH: "The epoch of the fetch session is not the one expected.",
    LISTENER_NOT_FOUND: "The leader has no listener of that name.",
    TOPIC_DELETION_DISABLED: "Deleting topics is switched off.",
    FENCED_LEADER_EPOCH: "The leader epoch in the request is older than the broker's.",
    UNKNOWN_LEADER_EPOCH: "The leader epoch in the request is newer than the broker's.",
    UNSUPPORTED_COMPRESSION_TYPE: "The client cannot read the compression of this partition.",
    STALE_BROKER_EPOCH: "The broker epoch has changed.",
    OFFSET_NOT_AVAILABLE: "The high watermark is not known yet after a change of leader.",
    MEMBER_ID_REQUIRED: "The member needs an id before it can join: join again with the one given.",
    PREFERRED_LEADER_NOT_AVAILABLE: "The preferred leader is not available.",
    GROUP_MAX_SIZE_REACHED: "The group is full.",
    FENCED_INSTANCE_ID: "Another member has taken over this group.instance.id.",
    ELIGIBLE_LEADERS_NOT_AVAILABLE: "No eligible leader is available.",
    ELECTION_NOT_NEEDED: "The partition needs no election.",
    NO_REASSIGNMENT_IN_PROGRESS: "No reassignment is under way.",
    GROUP_SUBSCRIBED_TO_TOPIC: "The group is subscribed to this topic.",
    INVALID_RECORD: "A record breaks the rules of the topic.",
    UNSTABLE_OFFSET_COMMIT: "Offsets of an open transaction are still undecided.",
    THROTTLING_QUOTA_EXCEEDED: "The quota is used up: try again later.",
    PRODUCER_FENCED: "A newer producer with the same transactional id exists.",
    RESOURCE_NOT_FOUND: "The request names something that does not exist.",
    DUPLICATE_RESOURCE: "The request names the same thing twice.",
    UNACCEPTABLE_CREDENTIAL: "The credential does not meet the rules.",
    INCONSISTENT_VOTER_SET: "The sender or receiver is not one of the expected voters.",
    INVALID_UPDATE_VERSION: "The version of the update is not valid.",
    FEATURE_UPDATE_FAILED: "The features could not be updated.",
    PRINCIPAL_DESERIALIZATION_FAILURE: "The forwarded principal could not be read.",
    SNAPSHOT_NOT_FOUND: "There is no such snapshot.",
    POSITION_OUT_OF_RANGE: "The position lies outside of the snapshot.",
    UNKNOWN_TOPIC_ID: "This server does not know that topic id.",
    DUPLICATE_BROKER_REGISTRATION: "The broker id is taken.",
    BROKER_ID_NOT_REGISTERED: "The broker id is not registered.",
    INCONSISTENT_TOPIC_ID: "The topic id is not that of the log.",
    INCONSISTENT_CLUSTER_ID: "The cluster id is not this cluster's.",
    TRANSACTIONAL_ID_NOT_FOUND: "There is no such transactional id.",
    FETCH_SESSION_TOPIC_ID_ERROR: "The fetch session mixes topic ids and names.",
    INELIGIBLE_REPLICA: "A replica is not eligible to be in sync.",
    NEW_LEADER_ELECTED: "The change was made, but the partition has a new leader.",
    OFFSET_MOVED_TO_TIERED_STORAGE: "The offset now lies in tiered storage.",
    FENCED_MEMBER_EPOCH: "The member epoch is fenced: give up all partitions and join again.",
    UNRELEASED_INSTANCE_ID: "Another member still uses this instance id.",
    UNSUPPORTED_ASSIGNOR: "The assignor is not supported.",
    STALE_MEMBER_EPOCH: "The member epoch is stale: take the new one from the next heartbeat.",
    MISMATCHED_ENDPOINT_TYPE: "The request came to the wrong kind of endpoint.",
    UNSUPPORTED_ENDPOINT_TYPE: "This kind of endpoint is not supported.",
    UNKNOWN_CONTROLLER_ID: "The controller id is not known.",
    UNKNOWN_SUBSCRIPTION_ID: "The telemetry subscription is not valid any more.",
    TELEMETRY_TOO_LARGE: "The telemetry is larger than the broker accepts.",
    INVALID_REGISTRATION: "The registration of the broker is not valid.",
    TRANSACTION_ABORTABLE: "The transaction failed; abort it to go on with this transactional id.",
    INVALID_RECORD_STATE: "The record is not in a state that allows this acknowledgement.",
    SHARE_SESSION_NOT_FOUND: "The share session is not known (any more).",
    INVALID_SHARE_SESSION_EPOCH: "The epoch of the share session is not the one expected.",
    FENCED_STATE_EPOCH: "The state epoch is older than the coordinator's.",
    INVALID_VOTER_KEY: "The key of the voter is not that of the replica.",
    DUPLICATE_VOTER: "The voter is a member already.",
    VOTER_NOT_FOUND: "There is no such voter.",
    INVALID_REGULAR_EXPRESSION: "The regular expression is not valid.",
    REBOOTSTRAP_REQUIRED: "The client reached another cluster or node: bootstrap again.",
    STREAMS_INVALID_TOPOLOGY: "The topology is not valid.",
    STREAMS_INVALID_TOPOLOGY_EPOCH: "The epoch of the topology is not valid.",
    STREAMS_TOPOLOGY_FENCED: "The topology is out of date.",
    SHARE_SESSION_LIMIT_REACHED: "There are as many share sessions as are allowed.",
    GROUP_DELETION_FAILED: "The group could not be deleted; the row of the group says why.",
    STREAMS_TOPOLOGY_DESCRIPTION_UPDATE_FAILED: "The topology's description was not stored.",
    CONTROLLER_ID_NOT_REGISTERED: "The controller id is not registered.",
}

ERRORS: dict[int, ErrorRow] = {
    code: ErrorRow(code, _NAMES[code], code in RETRIABLE, sentence)
    for code, sentence in _SENTENCES.items()
}
