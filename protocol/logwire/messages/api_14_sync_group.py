"""SyncGroup (key 14): the leader hands in the assignment, every member takes its part.

Version 3 brings static members, 4 is flexible, 5 says which protocol is meant (KIP-559).
"""

SCHEMA = """
request
  group_id           string
  generation_id      int32
  member_id          string
  group_instance_id  string?                       3+  = null
  protocol_type      string?                       5+  = null
  protocol_name      string?                       5+  = null
  assignments        []SyncGroupRequestAssignment
    member_id        string
    assignment       bytes
response
  throttle_time_ms  int32    1+
  error_code        int16
  protocol_type     string?  5+  = null
  protocol_name     string?  5+  = null
  assignment        bytes
"""
