"""AlterReplicaLogDirs (key 34): moves replicas to another log directory of this broker (KIP-113).

Version 2 is flexible.
"""

SCHEMA = """
request
  dirs            []AlterReplicaLogDir
    path          string
    topics        []AlterReplicaLogDirTopic
      name        string
      partitions  []int32
response
  throttle_time_ms     int32
  results              []AlterReplicaLogDirTopicResult
    topic_name         string
    partitions         []AlterReplicaLogDirPartitionResult
      partition_index  int32
      error_code       int16
"""
