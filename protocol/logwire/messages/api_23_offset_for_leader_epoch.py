"""OffsetForLeaderEpoch (key 23): where a leader epoch ended, to find out about truncation.

Version 2 adds the client's leader epoch (KIP-320), 3 the replica id, 4 is flexible.
"""

SCHEMA = """
request
  replica_id                int32                       3+  = -2
  topics                    []OffsetForLeaderTopic
    topic                   string
    partitions              []OffsetForLeaderPartition
      partition             int32
      current_leader_epoch  int32                           = -1
      leader_epoch          int32
response
  throttle_time_ms  int32
  topics            []OffsetForLeaderTopicResult
    topic           string
    partitions      []EpochEndOffset
      error_code    int16
      partition     int32
      leader_epoch  int32                         = -1
      end_offset    int64                         = -1
"""
