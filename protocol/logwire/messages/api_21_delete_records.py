"""DeleteRecords (key 21): moves the log start offset of partitions forward (-1: to the end)."""

SCHEMA = """
request
  topics               []DeleteRecordsTopic
    name               string
    partitions         []DeleteRecordsPartition
      partition_index  int32
      offset           int64
  timeout_ms           int32
response
  throttle_time_ms     int32
  topics               []DeleteRecordsTopicResult
    name               string
    partitions         []DeleteRecordsPartitionResult
      partition_index  int32
      low_watermark    int64
      error_code       int16
"""
