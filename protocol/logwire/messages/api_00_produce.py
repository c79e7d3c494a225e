"""Produce (key 0): appends record batches, one per partition.

Version 3 carries record batches v2 (KIP-98), 5 the log start offset in the answer, 7 allows zstd
(KIP-110), 8 tells errors of single records (KIP-467), 9 is flexible, 10 names the current leader
(KIP-951), 13 names topics by id (KIP-516). acks: 0 no answer, 1 the leader, -1 all in sync.

The server reads requests and writes answers with `logwire.produce_codec`; this schema is its
reference, and what clients use.
"""

SCHEMA = """
request
  transactional_id  string?                       = null
  acks              int16
  timeout_ms        int32
  topic_data        []TopicProduceData
    name            string                  3-12
    topic_id        uuid                    13+
    partition_data  []PartitionProduceData
      index         int32
      records       records?                      = null
response
  responses                        []TopicProduceResponse
    name                           string                       3-12
    topic_id                       uuid                         13+
    partition_responses            []PartitionProduceResponse
      index                        int32
      error_code                   int16
      base_offset                  int64
      log_append_time_ms           int64                              = -1
      log_start_offset             int64                        5+    = -1
      record_errors                []BatchIndexAndErrorMessage  8+
        batch_index                int32
        batch_index_error_message  string?                            = null
      error_message                string?                      8+    = null
      current_leader               LeaderIdAndEpoch             10+   tag 0
        leader_id                  int32                              = -1
        leader_epoch               int32                              = -1
  throttle_time_ms                 int32
  node_endpoints                   []NodeEndpoint               10+   tag 0
    node_id                        int32
    host                           string
    port                           int32
    rack                           string?                            = null
"""
