"""OffsetDelete (key 47): deletes committed offsets that no member reads on from (KIP-496).

Never flexible; the error code stands before the throttle time.
"""

SCHEMA = """
request
  group_id             string
  topics               []OffsetDeleteRequestTopic
    name               string
    partitions         []OffsetDeleteRequestPartition
      partition_index  int32
response
  error_code           int16
  throttle_time_ms     int32
  topics               []OffsetDeleteResponseTopic
    name               string
    partitions         []OffsetDeleteResponsePartition
      partition_index  int32
      error_code       int16
"""
