"""ListOffsets (key 2): finds an offset by timestamp, or one of the special ones below 0.

-1 latest, -2 earliest, -3 that of the largest timestamp (version 7, KIP-734), -4 earliest local
(8, KIP-405), -5 latest tiered (9, KIP-1005), -6 earliest not yet uploaded (11, KIP-1023).
Version 2 adds the isolation level, 4 leader epochs, 6 is flexible, 10 adds a timeout (KIP-1075).
"""

SCHEMA = """
request
  replica_id                int32
  isolation_level           int8                    2+
  topics                    []ListOffsetsTopic
    name                    string
    partitions              []ListOffsetsPartition
      partition_index       int32
      current_leader_epoch  int32                   4+   = -1
      timestamp             int64
  timeout_ms                int32                   10+
response
  throttle_time_ms     int32                           2+
  topics               []ListOffsetsTopicResponse
    name               string
    partitions         []ListOffsetsPartitionResponse
      partition_index  int32
      error_code       int16
      timestamp        int64                               = -1
      offset           int64                               = -1
      leader_epoch     int32                           4+  = -1
"""
