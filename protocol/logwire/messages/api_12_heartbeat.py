"""Heartbeat (key 12): a classic member is alive, and hears whether a rebalance is under way.

Version 3 brings static members, 4 is flexible.
"""

SCHEMA = """
request
  group_id           string
  generation_id      int32
  member_id          string
  group_instance_id  string?  3+  = null
response
  throttle_time_ms  int32  1+
  error_code        int16
"""
