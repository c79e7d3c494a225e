"""Metadata (key 3): brokers, topics, partitions and their leaders; the first thing clients ask.

All topics: an empty array in version 0, null from version 1 on. Version 4 lets the client forbid
auto-creation, 7 brings leader epochs, 9 is flexible, 10 topic ids, 12 looks up by id, 13 has an
error code at the top. Cluster operations (8 to 10) moved to DescribeCluster (KIP-700).
"""

SCHEMA = """
request
  topics                                 []MetadataRequestTopic        null 1+
    topic_id                             uuid                    10+
    name                                 string                        null 10+
  allow_auto_topic_creation              bool                    4+    = true
  include_cluster_authorized_operations  bool                    8-10
  include_topic_authorized_operations    bool                    8+
response
  throttle_time_ms               int32                        3+
  brokers                        []MetadataResponseBroker
    node_id                      int32
    host                         string
    port                         int32
    rack                         string?                      1+    = null
  cluster_id                     string?                      2+    = null
  controller_id                  int32                        1+    = -1
  topics                         []MetadataResponseTopic
    error_code                   int16
    name                         string                             null 12+
    topic_id                     uuid                         10+
    is_internal                  bool                         1+
    partitions                   []MetadataResponsePartition
      error_code                 int16
      partition_index            int32
      leader_id                  int32
      leader_epoch               int32                        7+    = -1
      replica_nodes              []int32
      isr_nodes                  []int32
      offline_replicas           []int32                      5+
    topic_authorized_operations  int32                        8+    = -2147483648
  cluster_authorized_operations  int32                        8-10  = -2147483648
  error_code                     int16                        13+
"""
