"""AlterConfigs (key 33): replaces the whole configuration of a topic or broker.

The older way; what is not named goes back to its default. IncrementalAlterConfigs replaced it.
"""

SCHEMA = """
request
  resources        []AlterConfigsResource
    resource_type  int8
    resource_name  string
    configs        []AlterableConfig
      name         string
      value        string?
  validate_only    bool
response
  throttle_time_ms  int32
  responses         []AlterConfigsResourceResponse
    error_code      int16
    error_message   string?
    resource_type   int8
    resource_name   string
"""
