"""The served APIs, each with the operation it needs and the resource it needs it on.

In Kafka's words (kafka.apache.org, "Authorization and ACLs"). What has no row here is neither
served nor advertised.
"""

from __future__ import annotations

# api key -> (operation, resource type)
AUTHORIZATION: dict[int, tuple[str, str]] = {
    0: ("WRITE", "TOPIC"),
    1: ("READ", "TOPIC"),
    2: ("DESCRIBE", "TOPIC"),
    3: ("DESCRIBE", "TOPIC"),
    8: ("READ", "GROUP"),
    9: ("DESCRIBE", "GROUP"),
    10: ("DESCRIBE", "GROUP"),
    11: ("READ", "GROUP"),
    12: ("READ", "GROUP"),
    13: ("READ", "GROUP"),
    14: ("READ", "GROUP"),
    15: ("DESCRIBE", "GROUP"),
    16: ("DESCRIBE", "CLUSTER"),
    18: ("ANY", "NONE"),
    19: ("CREATE", "CLUSTER"),
    20: ("DELETE", "TOPIC"),
    21: ("DELETE", "TOPIC"),
    22: ("IDEMPOTENT_WRITE", "CLUSTER"),
    23: ("DESCRIBE", "TOPIC"),
    29: ("DESCRIBE", "CLUSTER"),
    30: ("ALTER", "CLUSTER"),
    31: ("ALTER", "CLUSTER"),
    32: ("DESCRIBE_CONFIGS", "TOPIC"),
    33: ("ALTER_CONFIGS", "TOPIC"),
    34: ("ALTER", "CLUSTER"),
    35: ("DESCRIBE", "CLUSTER"),
    37: ("ALTER", "TOPIC"),
    38: ("CREATE_TOKENS", "USER"),
    39: ("ANY", "NONE"),
    40: ("ANY", "NONE"),
    41: ("DESCRIBE", "DELEGATION_TOKEN"),
    42: ("DELETE", "GROUP"),
    43: ("ALTER", "CLUSTER"),
    44: ("ALTER_CONFIGS", "TOPIC"),
    45: ("ALTER", "CLUSTER"),
    46: ("DESCRIBE", "CLUSTER"),
    55: ("DESCRIBE", "CLUSTER"),
    57: ("ALTER", "CLUSTER"),
    47: ("DELETE", "GROUP"),
    60: ("DESCRIBE", "CLUSTER"),
    61: ("READ", "TOPIC"),
    65: ("DESCRIBE", "TRANSACTIONAL_ID"),
    66: ("DESCRIBE", "TRANSACTIONAL_ID"),
    68: ("READ", "GROUP"),
    69: ("DESCRIBE", "GROUP"),
    74: ("DESCRIBE_CONFIGS", "CLUSTER"),
    75: ("DESCRIBE", "TOPIC"),
}
