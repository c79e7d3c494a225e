"""LeaveGroup (key 13): members leave a classic group, or an administrator removes them.

Version 3 removes many at once, by member id or by instance id (KIP-345), 4 is flexible, 5 carries a
reason (KIP-800).
"""

SCHEMA = """
request
  group_id             string
  member_id            string            0-2
  members              []MemberIdentity  3+
    member_id          string            3+
    group_instance_id  string?           3+   = null
    reason             string?           5+   = null
response
  throttle_time_ms     int32             1+
  error_code           int16
  members              []MemberResponse  3+
    member_id          string            3+
    group_instance_id  string?           3+
    error_code         int16             3+
"""
