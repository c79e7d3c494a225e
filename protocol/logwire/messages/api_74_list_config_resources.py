"""ListConfigResources (key 74): the names that have a configuration of their own.

Version 0 lists resources of type client metrics (16) only, 1 those of the types asked for, no types
meaning all (KIP-1142).
"""

SCHEMA = """
request
  resource_types  []int8  1+
response
  throttle_time_ms  int32
  error_code        int16
  config_resources  []ConfigResource
    resource_name   string
    resource_type   int8              1+  = 16
"""
