"""ListGroups (key 16): the groups that this broker coordinates.

Version 3 is flexible, 4 filters by state (KIP-518), 5 by type: "classic", "consumer" (KIP-848).
"""

SCHEMA = """
request
  states_filter  []string  4+
  types_filter   []string  5+
response
  throttle_time_ms  int32          1+
  error_code        int16
  groups            []ListedGroup
    group_id        string
    protocol_type   string
    group_state     string         4+
    group_type      string         5+
"""
