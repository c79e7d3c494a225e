"""CreateAcls (key 30): adds access rules.

Version 1 adds the pattern type, 2 is flexible, 3 knows resources of type user.
"""

SCHEMA = """
request
  creations                []AclCreation
    resource_type          int8
    resource_name          string
    resource_pattern_type  int8           = 3
    principal              string
    host                   string
    operation              int8
    permission_type        int8
response
  throttle_time_ms  int32
  results           []AclCreationResult
    error_code      int16
    error_message   string?
"""
