"""IncrementalAlterConfigs (key 44): sets or deletes single configuration keys (KIP-339).

`config_operation`: 0 set, 1 delete, 2 append to a list, 3 subtract from a list.
"""

SCHEMA = """
request
  resources             []AlterConfigsResource
    resource_type       int8
    resource_name       string
    configs             []AlterableConfig
      name              string
      config_operation  int8
      value             string?
  validate_only         bool
response
  throttle_time_ms  int32
  responses         []AlterConfigsResourceResponse
    error_code      int16
    error_message   string?
    resource_type   int8
    resource_name   string
"""
