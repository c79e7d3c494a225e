"""InitProducerId (key 22): hands out a producer id and epoch for idempotent producers.

Version 2 is flexible, 3 lets a producer go on with an epoch it knows (KIP-360). Kafka's version 6
(two-phase commit, KIP-939) is marked unstable there and not spoken here.
"""

SCHEMA = """
request
  transactional_id        string?
  transaction_timeout_ms  int32
  producer_id             int64    3+  = -1
  producer_epoch          int16    3+  = -1
response
  throttle_time_ms  int32
  error_code        int16
  producer_id       int64  = -1
  producer_epoch    int16
"""
