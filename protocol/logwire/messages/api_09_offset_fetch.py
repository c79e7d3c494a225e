"""OffsetFetch (key 9): the offsets that groups have committed; -1 where there is none.

Null `topics` asks for all (from 2 on). Version 2 adds an error code at the top, 5 leader epochs, 6
is flexible, 7 may wait for open transactions (`require_stable`), 8 asks for many groups at once, 9
carries the member's epoch (KIP-848), 10 names topics by id.
"""

SCHEMA = """
request
  group_id               string                       0-7
  topics                 []OffsetFetchRequestTopic    0-7  null 2+
    name                 string                       0-7
    partition_indexes    []int32                      0-7
  groups                 []OffsetFetchRequestGroup    8+
    group_id             string                       8+
    member_id            string?                      9+   = null
    member_epoch         int32                        9+   = -1
    topics               []OffsetFetchRequestTopics?  8+
      name               string                       8-9
      topic_id           uuid                         10+
      partition_indexes  []int32                      8+
  require_stable         bool                         7+
response
  throttle_time_ms              int32                            3+
  topics                        []OffsetFetchResponseTopic       0-7
    name                        string                           0-7
    partitions                  []OffsetFetchResponsePartition   0-7
      partition_index           int32                            0-7
      committed_offset          int64                            0-7
      committed_leader_epoch    int32                            5-7  = -1
      metadata                  string?                          0-7
      error_code                int16                            0-7
  error_code                    int16                            2-7
  groups                        []OffsetFetchResponseGroup       8+
    group_id                    string                           8+
    topics                      []OffsetFetchResponseTopics      8+
      name                      string                           8-9
      topic_id                  uuid                             10+
      partitions                []OffsetFetchResponsePartitions  8+
        partition_index         int32                            8+
        committed_offset        int64                            8+
        committed_leader_epoch  int32                            8+   = -1
        metadata                string?                          8+
        error_code              int16                            8+
    error_code                  int16                            8+
"""
