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
    10: ("DESCRIBE", "GROUP"),
    18: ("ANY", "NONE"),
    19: ("CREATE", "CLUSTER"),
    20: ("DELETE", "TOPIC"),
    21: ("DELETE", "TOPIC"),
    22: ("IDEMPOTENT_WRITE", "CLUSTER"),
    23: ("DESCRIBE", "TOPIC"),
    32: ("DESCRIBE_CONFIGS", "TOPIC"),
    33: ("ALTER_CONFIGS", "TOPIC"),
    35: ("DESCRIBE", "CLUSTER"),
    37: ("ALTER", "TOPIC"),
    44: ("ALTER_CONFIGS", "TOPIC"),
    60: ("DESCRIBE", "CLUSTER"),
    61: ("READ", "TOPIC"),
    75: ("DESCRIBE", "TOPIC"),
}
