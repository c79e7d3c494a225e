"""OffsetCommit (key 8): a group writes down up to where it has read.

A commit from outside of any group has generation -1 and an empty member id. Version 5 drops the
retention time, 6 adds leader epochs, 7 static members (KIP-345), 8 is flexible, 9 may carry a
member epoch in the place of the generation (KIP-848), 10 names topics by id.
"""

SCHEMA = """
request
  group_id                       string
  generation_id_or_member_epoch  int32                                = -1
  member_id                      string
  group_instance_id              string?                         7+   = null
  retention_time_ms              int64                           2-4  = -1
  topics                         []OffsetCommitRequestTopic
    name                         string                          0-9
    topic_id                     uuid                            10+
    partitions                   []OffsetCommitRequestPartition
      partition_index            int32
      committed_offset           int64
      committed_leader_epoch     int32                           6+   = -1
      committed_metadata         string?
response
  throttle_time_ms     int32                            3+
  topics               []OffsetCommitResponseTopic
    name               string                           0-9
    topic_id           uuid                             10+
    partitions         []OffsetCommitResponsePartition
      partition_index  int32
      error_code       int16
"""
