"""ElectLeaders (key 43): makes the preferred (type 0) or any (type 1) replica lead (KIP-460).

Null `topic_partitions` asks for all. Version 1 adds the type and an error code at the top, 2 is
flexible.
"""

SCHEMA = """
request
  election_type     int8                1+
  topic_partitions  []TopicPartitions?
    topic           string
    partitions      []int32
  timeout_ms        int32                   = 60000
response
  throttle_time_ms          int32
  error_code                int16                    1+
  replica_election_results  []ReplicaElectionResult
    topic                   string
    partition_result        []PartitionResult
      partition_id          int32
      error_code            int16
      error_message         string?
"""
