"""ConsumerGroupHeartbeat (key 68): the whole membership of a consumer group (KIP-848).

`member_epoch` 0 joins, -1 leaves, -2 leaves and keeps the place of a static member. Null says "as
before" wherever it is allowed, in the answer's `assignment` too. In version 1 the client chooses
its member id (KIP-1082) and may subscribe by a regular expression.
"""

SCHEMA = """
request
  group_id                string
  member_id               string
  member_epoch            int32
  instance_id             string?                 = null
  rack_id                 string?                 = null
  rebalance_timeout_ms    int32                   = -1
  subscribed_topic_names  []string?               = null
  subscribed_topic_regex  string?             1+  = null
  server_assignor         string?                 = null
  topic_partitions        []TopicPartitions?      = null
    topic_id              uuid
    partitions            []int32
response
  throttle_time_ms       int32
  error_code             int16
  error_message          string?            = null
  member_id              string?            = null
  member_epoch           int32
  heartbeat_interval_ms  int32
  assignment             Assignment?        = null
    topic_partitions     []TopicPartitions
      topic_id           uuid
      partitions         []int32
"""
