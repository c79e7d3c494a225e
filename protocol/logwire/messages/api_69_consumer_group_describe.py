"""ConsumerGroupDescribe (key 69): epochs, members and assignments of consumer groups (KIP-848).

`member_type` of version 1: 0 speaks the classic protocol, 1 the consumer protocol (KIP-1099).
"""

SCHEMA = """
request
  group_ids                      []string
  include_authorized_operations  bool
response
  throttle_time_ms            int32
  groups                      []DescribedGroup
    error_code                int16
    error_message             string?                = null
    group_id                  string
    group_state               string
    group_epoch               int32
    assignment_epoch          int32
    assignor_name             string
    members                   []Member
      member_id               string
      instance_id             string?                = null
      rack_id                 string?                = null
      member_epoch            int32
      client_id               string
      client_host             string
      subscribed_topic_names  []string
      subscribed_topic_regex  string?                = null
      assignment              Assignment
        topic_partitions      []TopicPartitions
          topic_id            uuid
          topic_name          string
          partitions          []int32
      target_assignment       Assignment
        topic_partitions      []TopicPartitions
          topic_id            uuid
          topic_name          string
          partitions          []int32
      member_type             int8               1+  = -1
    authorized_operations     int32                  = -2147483648
"""
