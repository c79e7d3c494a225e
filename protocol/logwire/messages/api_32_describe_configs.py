"""DescribeConfigs (key 32): configuration of topics (type 2) and brokers (type 4), and its source.

Version 3 adds types and documentation, 4 is flexible. A null `configuration_keys` asks for all.
"""

SCHEMA = """
request
  resources              []DescribeConfigsResource
    resource_type        int8
    resource_name        string
    configuration_keys   []string?
  include_synonyms       bool
  include_documentation  bool                       3+
response
  throttle_time_ms   int32
  results            []DescribeConfigsResult
    error_code       int16
    error_message    string?
    resource_type    int8
    resource_name    string
    configs          []DescribeConfigsResourceResult
      name           string
      value          string?
      read_only      bool
      config_source  int8                                 = -1
      is_sensitive   bool
      synonyms       []DescribeConfigsSynonym
        name         string
        value        string?
        source       int8
      config_type    int8                             3+
      documentation  string?                          3+
"""
