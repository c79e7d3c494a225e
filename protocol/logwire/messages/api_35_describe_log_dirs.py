"""DescribeLogDirs (key 35): log directories, and how much each partition takes there.

Null `topics` asks for all. Version 2 is flexible, 3 adds an error code at the top, 4 the size and
free space of the file system (KIP-827), 5 says whether a directory is cordoned (KIP-1066).
"""

SCHEMA = """
request
  topics        []DescribableLogDirTopic?
    topic       string
    partitions  []int32
response
  throttle_time_ms       int32
  error_code             int16                       3+
  results                []DescribeLogDirsResult
    error_code           int16
    log_dir              string
    topics               []DescribeLogDirsTopic
      name               string
      partitions         []DescribeLogDirsPartition
        partition_index  int32
        partition_size   int64
        offset_lag       int64
        is_future_key    bool
    total_bytes          int64                       4+  = -1
    usable_bytes         int64                       4+  = -1
    is_cordoned          bool                        5+
"""
