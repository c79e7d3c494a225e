"""AlterPartitionReassignments (key 45): moves replicas between brokers (KIP-455).

Null `replicas` cancels a move. Version 1 may forbid that the replication factor changes.
"""

SCHEMA = """
request
  timeout_ms                       int32                        = 60000
  allow_replication_factor_change  bool                     1+  = true
  topics                           []ReassignableTopic
    name                           string
    partitions                     []ReassignablePartition
      partition_index              int32
      replicas                     []int32?                     = null
response
  throttle_time_ms                 int32
  allow_replication_factor_change  bool                             1+  = true
  error_code                       int16
  error_message                    string?
  responses                        []ReassignableTopicResponse
    name                           string
    partitions                     []ReassignablePartitionResponse
      partition_index              int32
      error_code                   int16
      error_message                string?
"""
