"""logserver.broker.authorization: Kafka's words, for every API that is served."""

from logserver.broker.authorization import AUTHORIZATION
from logwire.messages import APIS

# org.apache.kafka.common.acl.AclOperation and org.apache.kafka.common.resource.ResourceType
OPERATIONS = {
    "ALTER", "ALTER_CONFIGS", "ANY", "CLUSTER_ACTION", "CREATE", "CREATE_TOKENS", "DELETE",
    "DESCRIBE", "DESCRIBE_CONFIGS", "IDEMPOTENT_WRITE", "READ", "WRITE",
}  # fmt: skip
RESOURCES = {"CLUSTER", "DELEGATION_TOKEN", "GROUP", "NONE", "TOPIC", "TRANSACTIONAL_ID", "USER"}


def test_every_row_is_of_an_api_we_know_in_the_words_of_kafka() -> None:
    """An access list that names an operation differently would never match."""
    assert set(AUTHORIZATION) <= set(APIS)
    assert {row[0] for row in AUTHORIZATION.values()} <= OPERATIONS
    assert {row[1] for row in AUTHORIZATION.values()} <= RESOURCES
