"""DeleteGroups (key 42): deletes groups without members, and their offsets.

Version 2 is flexible, 3 adds a message to each result.
"""

SCHEMA = """
request
  groups_names  []string
response
  throttle_time_ms  int32
  results           []DeletableGroupResult
    group_id        string
    error_code      int16
    error_message   string?                 3+  = null
"""
