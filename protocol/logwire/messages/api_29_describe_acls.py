"""DescribeAcls (key 29): the access rules that match a filter.

Codes are those of Kafka's ResourceType, PatternType, AclOperation and AclPermissionType. Version 1
adds the pattern type, 2 is flexible, 3 knows resources of type user.
"""

SCHEMA = """
request
  resource_type_filter  int8
  resource_name_filter  string?
  pattern_type_filter   int8     = 3
  principal_filter      string?
  host_filter           string?
  operation             int8
  permission_type       int8
response
  throttle_time_ms     int32
  error_code           int16
  error_message        string?
  resources            []DescribeAclsResource
    resource_type      int8
    resource_name      string
    pattern_type       int8                    = 3
    acls               []AclDescription
      principal        string
      host             string
      operation        int8
      permission_type  int8
"""
