"""FindCoordinator (key 10): which broker coordinates a group (type 0) or transactional id (1).

Version 1 adds the type, 3 is flexible, 4 asks for many keys at once (KIP-699), 6 knows share state
(type 2, KIP-932). librdkafka compresses with lz4 only where version 0 is offered.
"""

SCHEMA = """
request
  key               string    0-3
  key_type          int8      1+
  coordinator_keys  []string  4+
response
  throttle_time_ms  int32          1+
  error_code        int16          0-3
  error_message     string?        1-3
  node_id           int32          0-3
  host              string         0-3
  port              int32          0-3
  coordinators      []Coordinator  4+
    key             string
    node_id         int32
    host            string
    port            int32
    error_code      int16
    error_message   string?
"""
