"""CreatePartitions (key 37): more partitions for topics; `count` is the new total."""

SCHEMA = """
request
  topics          []CreatePartitionsTopic
    name          string
    count         int32
    assignments   []CreatePartitionsAssignment?
      broker_ids  []int32
  timeout_ms      int32
  validate_only   bool
response
  throttle_time_ms  int32
  results           []CreatePartitionsTopicResult
    name            string
    error_code      int16
    error_message   string?                        = null
"""
