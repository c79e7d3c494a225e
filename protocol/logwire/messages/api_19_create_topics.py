"""CreateTopics (key 19): creates topics, or with `validate_only` says whether it could.

Version 4 takes -1 for the broker's default number of partitions and replication factor (KIP-464),
5 is flexible and answers with the configuration (KIP-525; Java's admin client needs `configs` to be
non-null), 7 answers with the topic id.
"""

SCHEMA = """
request
  topics                []CreatableTopic
    name                string
    num_partitions      int32
    replication_factor  int16
    assignments         []CreatableReplicaAssignment
      partition_index   int32
      broker_ids        []int32
    configs             []CreatableTopicConfig
      name              string
      value             string?
  timeout_ms            int32                         = 60000
  validate_only         bool
response
  throttle_time_ms           int32
  topics                     []CreatableTopicResult
    name                     string
    topic_id                 uuid                      7+
    error_code               int16
    error_message            string?
    topic_config_error_code  int16                     5+  tag 0
    num_partitions           int32                     5+  = -1
    replication_factor       int16                     5+  = -1
    configs                  []CreatableTopicConfigs?  5+
      name                   string
      value                  string?
      read_only              bool
      config_source          int8                          = -1
      is_sensitive           bool
"""
