"""DescribeQuorum (key 55): the voters and observers of the metadata log (KIP-595).

Version 1 adds times (KIP-836), 2 messages, directory ids and the voters' addresses (KIP-853).
"""

SCHEMA = """
request
  topics               []TopicData
    topic_name         string
    partitions         []PartitionData
      partition_index  int32
response
  error_code                      int16
  error_message                   string?          2+
  topics                          []TopicData
    topic_name                    string
    partitions                    []PartitionData
      partition_index             int32
      error_code                  int16
      error_message               string?          2+
      leader_id                   int32
      leader_epoch                int32
      high_watermark              int64
      current_voters              []ReplicaState
        replica_id                int32
        replica_directory_id      uuid             2+
        log_end_offset            int64
        last_fetch_timestamp      int64            1+  = -1
        last_caught_up_timestamp  int64            1+  = -1
      observers                   []ReplicaState
        replica_id                int32
        replica_directory_id      uuid             2+
        log_end_offset            int64
        last_fetch_timestamp      int64            1+  = -1
        last_caught_up_timestamp  int64            1+  = -1
  nodes                           []Node           2+
    node_id                       int32            2+
    listeners                     []Listener       2+
      name                        string           2+
      host                        string           2+
      port                        uint16           2+
"""
